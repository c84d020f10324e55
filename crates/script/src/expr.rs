//! The syntax tree of expressions.

use crate::source::{Name, Span};

/// An expression and where it stands. Parentheses are not kept, nor is a
/// unary plus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// A number.
    Int(Int),
    /// `.`, the location counter.
    Dot,
    /// A symbol.
    Symbol(String),
    /// An operator before its operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator between its operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `condition ? then : otherwise`.
    Conditional(Box<Conditional>),
    /// A function of one value.
    Call(Function, Box<Expr>),
    /// A function of two values.
    Call2(Function2, Box<Expr>, Box<Expr>),
    /// A function of a name.
    NameCall(NameFunction, Name),
    /// `SEGMENT_START(segment, default)`.
    SegmentStart(Name, Box<Expr>),
    /// `SIZEOF_HEADERS`.
    SizeofHeaders,
    /// `ASSERT(condition, message)`: the condition's value.
    Assert(Box<Expr>, Name),
}

/// A number of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int {
    /// Its value; GNU ld reads numbers over 64 bits as the greatest one.
    pub value: u64,
    /// For a number written `0x…` without K or M: its digits as bytes, the
    /// first from one digit when they are odd in number. As a fill value it
    /// stands for exactly these bytes, however many.
    pub bytes: Option<Box<[u8]>>,
}

/// `condition ? then : otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditional {
    /// Not zero: `then`.
    pub condition: Expr,
    /// The value if the condition is not zero.
    pub then: Expr,
    /// The value if it is.
    pub otherwise: Expr,
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `!`: 1 for zero, else 0.
    Not,
    /// `~`
    BitNot,
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `||`; both sides are evaluated.
    OrOr,
    /// `&&`; both sides are evaluated.
    AndAnd,
    /// `|`
    Or,
    /// `^` (not in GNU ld 2.40; newer ones have it)
    Xor,
    /// `&`
    And,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`, of unsigned values.
    Lt,
    /// `>`, of unsigned values.
    Gt,
    /// `<=`, of unsigned values.
    Le,
    /// `>=`, of unsigned values.
    Ge,
    /// `<<`
    Shl,
    /// `>>`, filling with zeros.
    Shr,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`, of signed values.
    Div,
    /// `%`, of signed values.
    Rem,
}

/// How tightly `?:` binds, below every binary operator ([`BinaryOp::power`]).
pub(crate) const CONDITIONAL: u8 = 1;

/// How tightly an operator before its operand binds, above every binary operator.
pub(crate) const UNARY: u8 = 12;

impl BinaryOp {
    /// How tightly the operator binds: the `%left` lines of ld/ldgram.y, the loosest first.
    pub(crate) fn power(self) -> u8 {
        match self {
            BinaryOp::OrOr => 2,
            BinaryOp::AndAnd => 3,
            BinaryOp::Or => 4,
            BinaryOp::Xor => 5,
            BinaryOp::And => 6,
            BinaryOp::Eq | BinaryOp::Ne => 7,
            BinaryOp::Lt | BinaryOp::Gt | BinaryOp::Le | BinaryOp::Ge => 8,
            BinaryOp::Shl | BinaryOp::Shr => 9,
            BinaryOp::Add | BinaryOp::Sub => 10,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => 11,
        }
    }

    /// The operator as a script writes it.
    pub fn text(self) -> &'static str {
        match self {
            BinaryOp::OrOr => "||",
            BinaryOp::AndAnd => "&&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::And => "&",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Gt => ">",
            BinaryOp::Le => "<=",
            BinaryOp::Ge => ">=",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
        }
    }
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `ABSOLUTE(x)`: x, not relative to a section.
    Absolute,
    /// `ALIGN(x)`, `BLOCK(x)`: `.` rounded up to a multiple of x.
    Align,
    /// `NEXT(x)`: the same, absolute.
    Next,
    /// `LOG2CEIL(x)`.
    Log2Ceil,
    /// `DATA_SEGMENT_END(x)`.
    DataSegmentEnd,
}

/// A function of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function2 {
    /// `ALIGN(x, a)`: x rounded up to a multiple of a.
    Align,
    /// `MAX(x, y)`, unsigned.
    Max,
    /// `MIN(x, y)`, unsigned.
    Min,
    /// `DATA_SEGMENT_ALIGN(maxpagesize, commonpagesize)`.
    DataSegmentAlign,
    /// `DATA_SEGMENT_RELRO_END(offset, x)`.
    DataSegmentRelroEnd,
}

/// A function of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameFunction {
    /// `ADDR(section)`.
    Addr,
    /// `LOADADDR(section)`.
    LoadAddr,
    /// `SIZEOF(section)`.
    Sizeof,
    /// `ALIGNOF(section)`.
    AlignOf,
    /// `DEFINED(symbol)`.
    Defined,
    /// `ORIGIN(region)`.
    Origin,
    /// `LENGTH(region)`.
    Length,
    /// `CONSTANT(MAXPAGESIZE)` or `CONSTANT(COMMONPAGESIZE)`.
    Constant,
}

impl Function {
    /// The function's name.
    pub fn text(self) -> &'static str {
        match self {
            Function::Absolute => "ABSOLUTE",
            Function::Align => "ALIGN",
            Function::Next => "NEXT",
            Function::Log2Ceil => "LOG2CEIL",
            Function::DataSegmentEnd => "DATA_SEGMENT_END",
        }
    }
}

impl Function2 {
    /// The function's name.
    pub fn text(self) -> &'static str {
        match self {
            Function2::Align => "ALIGN",
            Function2::Max => "MAX",
            Function2::Min => "MIN",
            Function2::DataSegmentAlign => "DATA_SEGMENT_ALIGN",
            Function2::DataSegmentRelroEnd => "DATA_SEGMENT_RELRO_END",
        }
    }
}

impl NameFunction {
    /// Whether the name is read as scripts' section and file names are.
    pub(crate) fn reads_script_name(self) -> bool {
        !matches!(self, NameFunction::Defined | NameFunction::Constant)
    }

    /// The function's name.
    pub fn text(self) -> &'static str {
        match self {
            NameFunction::Addr => "ADDR",
            NameFunction::LoadAddr => "LOADADDR",
            NameFunction::Sizeof => "SIZEOF",
            NameFunction::AlignOf => "ALIGNOF",
            NameFunction::Defined => "DEFINED",
            NameFunction::Origin => "ORIGIN",
            NameFunction::Length => "LENGTH",
            NameFunction::Constant => "CONSTANT",
        }
    }
}
