#![no_main]
twin_fuzz::fuzz!(sync::sync_message);
