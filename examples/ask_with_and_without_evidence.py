"""Ask a question twice: with the regions that the core found in the prompt, and with none of them."""

from medglip.grounding import open_image
from medglip.vqa import load_answerer

image = open_image("examples/data/images/xray-1.png", modality="xray")
answerer = load_answerer("small")  # an adapter that comes along, with its base and its core; or a folder
for question in ("Where is the left lung?", "Is there an opacity in the image?"):
    print(question)
    for with_evidence in (True, False):
        answer = answerer.ask(image, question, with_evidence=with_evidence)
        regions = answer.evidence.first.regions if with_evidence else ()
        shown = ", ".join(f"{region.phrase} {region.score:.2f}" for region in regions) or "nothing"
        why = "by the regions alone" if answer.by_rules else f"probability per token {answer.probability:.2f}"
        print(f"  shown {shown}: {answer.text} ({why})")
print("Research use, not for diagnosis.")
