//! How the process began: arguments, environment, descriptors and signals before anything touched them.
