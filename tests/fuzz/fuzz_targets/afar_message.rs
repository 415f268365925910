#![no_main]
twin_fuzz::fuzz!(sync::afar_message);
