"""How far what is found and said can be trusted: what a core knows, whose sides are meant, which answers count."""
