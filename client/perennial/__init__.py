"""What an app needs of Perennial: `perennial.client`. The service itself is the distribution `perennial-service`."""
