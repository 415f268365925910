#![no_main]
twin_fuzz::fuzz!(sync::mailbox_page);
