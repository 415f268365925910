#![no_main]
twin_fuzz::fuzz!(ops::space_name);
