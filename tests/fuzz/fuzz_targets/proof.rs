#![no_main]
twin_fuzz::fuzz!(identity::proof);
