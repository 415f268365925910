#![no_main]
twin_fuzz::fuzz!(sync::link_offer);
