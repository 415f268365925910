#![no_main]
twin_fuzz::fuzz!(vault::vault_op_row);
