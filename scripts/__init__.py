"""What the command does: command line, pipeline of a recipe, inference for users, experiments, the page, releases.

Logic of these stands here, too; what a room can do without the others stands in the room.
"""
