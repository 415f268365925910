#![no_main]
twin_fuzz::fuzz!(identity::sealing_key);
