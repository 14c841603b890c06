"""Programs that measure what the issues promise, each as a ratio to a named floor."""
