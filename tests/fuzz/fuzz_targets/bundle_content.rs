#![no_main]
twin_fuzz::fuzz!(sync::bundle_content);
