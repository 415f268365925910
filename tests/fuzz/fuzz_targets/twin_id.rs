#![no_main]
twin_fuzz::fuzz!(identity::twin_id);
