"""What takes minutes and is asked for from the page: adopting a base, having it write anchors, adding a suite."""
