#![no_main]
twin_fuzz::fuzz!(vault::schema_rule);
