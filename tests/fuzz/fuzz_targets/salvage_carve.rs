#![no_main]
twin_fuzz::fuzz!(vault::salvage_carve);
