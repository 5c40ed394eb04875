"""The live runtime: supervisor, ingress, committer and effects, on trio."""
