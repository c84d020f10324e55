//! The strategies of others, as far as they decide how many stubs there are:
//! in input order, with everything's size counted.
