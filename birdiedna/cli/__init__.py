"""The command `birdiedna`: one parser, its verbs."""
