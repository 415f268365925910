#![no_main]
twin_fuzz::fuzz!(twin::import_list);
