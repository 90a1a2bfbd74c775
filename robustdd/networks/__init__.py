"""ConvNets, how they are trained, and what augments their images."""
