//! TCP: the state of each endpoint, and streams put together from segments.
