#![no_main]
twin_fuzz::fuzz!(ops::root);
