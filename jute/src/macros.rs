//! The two tables this crate is written in: records (fields in wire order) and codes (name, number, label).

/// Declares records: a struct, and its [`Record`](crate::Record) form with the fields in the order written.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident $(<$lt:lifetime>)? { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name $(<$lt>)? {
            $($(#[$fmeta])* pub $field: $ty,)*
        }
        records!(@impl $name [$($lt)?] $($field : $ty),*);
    )*};
    (@impl $name:ident [$lt:lifetime] $($field:ident : $ty:ty),*) => {
        impl<$lt> $crate::Record<$lt> for $name<$lt> {
            fn read(r: &mut $crate::Reader<$lt>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $($field: $crate::Record::read(r)?),* })
            }
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::Record::write(&self.$field, out);)*
            }
        }
    };
    (@impl $name:ident [] $($field:ident : $ty:ty),*) => {
        impl<'a> $crate::Record<'a> for $name {
            fn read(r: &mut $crate::Reader<'a>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $($field: $crate::Record::read(r)?),* })
            }
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::Record::write(&self.$field, out);)*
            }
        }
    };
}

/// Declares a table of codes: a closed enum, the number of each row, and a look-up that may find none.
macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum $name { $($(#[$vmeta])* $variant = $code),* }

        impl $name {
            /// Every row of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The row with this number, if there is one.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The row's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }
    )*};
}

pub(crate) use {codes, records};
