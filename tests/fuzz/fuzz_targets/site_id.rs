#![no_main]
twin_fuzz::fuzz!(identity::site_id);
