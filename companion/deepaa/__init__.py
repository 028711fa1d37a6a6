"""Deep AutoAugment: a pipeline of augmentations, found layer by layer by matching gradients."""
