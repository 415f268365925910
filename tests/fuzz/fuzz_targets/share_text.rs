#![no_main]
twin_fuzz::fuzz!(identity::share_text);
