//! The NodeManager's REST API: YARN's.
