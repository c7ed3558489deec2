"""What is known of how an image was aligned."""
