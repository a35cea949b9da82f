//! The ResourceManager's REST API: YARN's.
