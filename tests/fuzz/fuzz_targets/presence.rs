#![no_main]
twin_fuzz::fuzz!(twin::presence);
