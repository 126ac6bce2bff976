//! What the standard descriptors are: kinds, sameness, offsets.
