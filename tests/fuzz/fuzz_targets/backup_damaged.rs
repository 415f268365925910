#![no_main]
twin_fuzz::fuzz!(ops::backup_damaged);
