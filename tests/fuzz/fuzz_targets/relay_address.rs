#![no_main]
twin_fuzz::fuzz!(twin::relay_address);
