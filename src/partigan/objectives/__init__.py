"""What makes a GAN a GAN: losses and terms."""
