"""The processes of a run: controller, node, supervisor and workers."""
