//! stub, see brief
