//! Operating system processes: spawn, watch, limit and end them, and read what an executable needs. Knows none of our roles.
