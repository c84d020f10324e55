//! Values of expressions, as GNU ld's `exp_fold_tree` gives them
//! (ld/ldexp.c of binutils 2.40).
//!
//! Whoever links tells the evaluator what it knows through a [`Scope`]: the
//! location counter, symbols, sections, regions. A value that is not known
//! yet is an error that [`ScriptError::is_not_known`] recognizes, so that a
//! layout can be computed in passes.
//!
//! Arithmetic wraps at 64 bits. `/` and `%` are signed, `>>` and comparisons
//! unsigned; shift counts are taken modulo 64, as GNU ld does on x86-64
//! hosts. `&&` and `||` evaluate both sides, `?:` only the side it chooses.
//!
//! ```
//! use klink_script::{Source, eval, parse_expression};
//! let expr = parse_expression(&Source::new("-", "ALIGN(0x1234, 1K) / -2")).unwrap();
//! let value = eval::evaluate(&expr, &eval::Constants).unwrap();
//! assert_eq!(value.value as i64, -0xa00);
//! ```

use std::cell::Cell;

use crate::ast::{AssignOp, Assignment};
use crate::diagnostic::{ErrorKind, ScriptError};
use crate::expr::{
    BinaryOp, Conditional, Expr, ExprKind, Function, Function2, NameFunction, UnaryOp,
};
use crate::source::{Name, Span};

type Result<T, E = ScriptError> = std::result::Result<T, E>;

/// An output section, numbered by the [`Scope`] as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionRef(pub u32);

/// What a value counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing: a plain number. Assigned inside an output section, it becomes
    /// an offset in that section.
    Number,
    /// Address zero.
    Absolute,
    /// The start of an output section.
    Section(SectionRef),
}

/// The value of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value {
    /// The number, counted from `base`.
    pub value: u64,
    /// What it counts from.
    pub base: Base,
}

impl Value {
    /// A plain number.
    pub fn number(value: u64) -> Value {
        let base = Base::Number;
        Value { value, base }
    }

    /// An address.
    pub fn absolute(value: u64) -> Value {
        let base = Base::Absolute;
        Value { value, base }
    }

    /// An offset in a section.
    pub fn in_section(value: u64, section: SectionRef) -> Value {
        let base = Base::Section(section);
        Value { value, base }
    }

    /// The section the value counts from, if it does.
    pub fn section(self) -> Option<SectionRef> {
        match self.base {
            Base::Section(section) => Some(section),
            Base::Number | Base::Absolute => None,
        }
    }

    /// The value as an address: a section's address is added, a plain number
    /// stays what it is.
    pub fn address(self, scope: &(impl Scope + ?Sized)) -> u64 {
        match self.base {
            Base::Section(section) => self.value.wrapping_add(scope.section_address(section)),
            Base::Number | Base::Absolute => self.value,
        }
    }

    /// The value as a symbol takes it, or `.`: where the script assigns inside
    /// an output section, a plain number is an offset in that section.
    #[must_use]
    pub fn settled(self, place: Place) -> Value {
        match (self.base, place) {
            (Base::Number, Place::Outside) => Value::absolute(self.value),
            (Base::Number, Place::Inside(section)) => Value::in_section(self.value, section),
            _ => self,
        }
    }
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Outside every output section.
    Outside,
    /// Between the braces of this one.
    Inside(SectionRef),
}

/// What a [`Scope`] knows of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<T> {
    /// This.
    Known(T),
    /// Nothing in this pass; a later one may know.
    NotYet,
    /// There is no such thing: an error.
    Missing,
}

/// A memory region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first address.
    pub origin: u64,
    /// Bytes.
    pub length: u64,
}

/// A page size that `CONSTANT` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageSize {
    /// `MAXPAGESIZE`.
    Max,
    /// `COMMONPAGESIZE`.
    Common,
}

/// What the evaluator asks the link. Every method has a default that knows
/// nothing.
pub trait Scope {
    /// Where the expression stands.
    fn place(&self) -> Place {
        Place::Outside
    }

    /// `.`, as an address.
    fn dot(&self) -> Option<u64> {
        None
    }

    /// A symbol's value: absolute, or an offset in an output section.
    fn symbol(&self, _name: &str) -> Lookup<Value> {
        Lookup::Missing
    }

    /// `DEFINED`: whether the symbol is defined by an object, or by the
    /// script before this expression.
    fn is_defined(&self, _name: &str) -> bool {
        false
    }

    /// The address of a section that this scope has handed out.
    fn section_address(&self, _section: SectionRef) -> u64 {
        0
    }

    /// `ADDR`: the section of this name, once it has its address.
    fn section(&self, _name: &str) -> Lookup<SectionRef> {
        Lookup::Missing
    }

    /// `LOADADDR`.
    fn load_address(&self, _name: &str) -> Lookup<u64> {
        Lookup::Missing
    }

    /// `SIZEOF`, in bytes. Before its last pass GNU ld takes 0 for a section
    /// that does not exist.
    fn size_of(&self, _name: &str) -> Lookup<u64> {
        Lookup::Missing
    }

    /// `ALIGNOF`, in bytes; as [`size_of`](Scope::size_of).
    fn align_of(&self, _name: &str) -> Lookup<u64> {
        Lookup::Missing
    }

    /// `ORIGIN` and `LENGTH`.
    fn region(&self, _name: &str) -> Lookup<Region> {
        Lookup::Missing
    }

    /// `CONSTANT`.
    fn page_size(&self, _which: PageSize) -> Option<u64> {
        None
    }

    /// `SIZEOF_HEADERS`: bytes of ELF header and program headers.
    fn sizeof_headers(&self) -> Option<u64> {
        None
    }

    /// `SEGMENT_START`: the address that the command line gives the segment
    /// (`-Ttext-segment=…`), if it does.
    fn segment_start(&self, _segment: &str) -> Option<u64> {
        None
    }

    /// `DATA_SEGMENT_ALIGN(max, common)`. The default is GNU ld's first guess
    /// without `-z relro`: the next page at the same offset in the page.
    fn data_segment_align(&self, max_page: u64, _common_page: u64) -> Option<u64> {
        let dot = self.dot()?;
        let offset = dot & max_page.wrapping_sub(1);
        Some(align_up(dot, max_page).wrapping_add(offset))
    }

    /// `DATA_SEGMENT_RELRO_END(offset, address)`. The default is the address:
    /// no read-only-after-relocation area is padded.
    fn data_segment_relro_end(&self, _offset: u64, address: u64) -> Option<u64> {
        Some(address)
    }

    /// `DATA_SEGMENT_END(address)`, told so that the segment's size is known.
    fn data_segment_end(&self, _address: u64) {}

    /// Whether `ASSERT` is checked in this pass. GNU ld checks in its last.
    fn checks_assertions(&self) -> bool {
        true
    }

    /// Whether the script says `LD_FEATURE("SANE_EXPR")`: numbers outside
    /// output sections stay plain numbers.
    fn sane_expr(&self) -> bool {
        false
    }
}

/// A scope that knows nothing: for constant expressions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Constants;

impl Scope for Constants {}

/// The value of an expression.
///
/// # Errors
/// Division by zero, names that stand for nothing, an assertion that does not
/// hold, and values that the scope does not know yet.
pub fn evaluate(expr: &Expr, scope: &(impl Scope + ?Sized)) -> Result<Value> {
    Ok(Evaluator::new(scope).fold(expr)?.value)
}

/// The address or number an expression stands for: [`evaluate`], then
/// [`Value::address`].
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_address(expr: &Expr, scope: &(impl Scope + ?Sized)) -> Result<u64> {
    Ok(evaluate(expr, scope)?.address(scope))
}

/// The value that an assignment gives its symbol, or `.`, compound operators
/// included.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_assignment(
    assignment: &Assignment,
    scope: &(impl Scope + ?Sized),
) -> Result<Value> {
    define(assignment, scope).map(|definition| definition.value)
}

/// What an assignment makes of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The symbol's value.
    pub value: Value,
    /// Whether it is an address near `.`: a linker ties a symbol that is assigned one outside of
    /// output sections to the section there (ld/ldexp.c, `rel_from_abs`). It is one if it comes
    /// from `.`, `ALIGN(x)`, `SEGMENT_START` or `ORIGIN`, and nothing was made absolute after that.
    pub follows_dot: bool,
}

/// The same, with what a linker needs to know of the symbol.
///
/// # Errors
/// As [`evaluate`].
pub fn define(assignment: &Assignment, scope: &(impl Scope + ?Sized)) -> Result<Definition> {
    let evaluator = Evaluator::new(scope);
    let value = evaluator.assigned(assignment)?;
    Ok(Definition {
        value: value.settled(scope.place()),
        follows_dot: evaluator.follows_dot.get(),
    })
}

/// The bytes of a fill value (`=fill`, `FILL(…)`), to be repeated: for a
/// number written `0x…` as many as its digits make, else the four low bytes,
/// most significant first.
///
/// # Errors
/// As [`evaluate`].
pub fn fill(expr: &Expr, scope: &(impl Scope + ?Sized)) -> Result<Vec<u8>> {
    if let ExprKind::Int(number) = &expr.kind
        && let Some(bytes) = &number.bytes
    {
        return Ok(bytes.to_vec());
    }
    let [.., a, b, c, d] = evaluate(expr, scope)?.value.to_be_bytes();
    Ok(vec![a, b, c, d])
}

/// `value` rounded up to a multiple of `align`, which may be any number; 0
/// and 1 leave it as it is. Wraps at 64 bits.
pub fn align_up(value: u64, align: u64) -> u64 {
    if align <= 1 {
        return value;
    }
    (value.wrapping_add(align - 1) / align).wrapping_mul(align)
}

fn binary_op(op: AssignOp) -> Option<BinaryOp> {
    Some(match op {
        AssignOp::Set => return None,
        AssignOp::Add => BinaryOp::Add,
        AssignOp::Sub => BinaryOp::Sub,
        AssignOp::Mul => BinaryOp::Mul,
        AssignOp::Div => BinaryOp::Div,
        AssignOp::Shl => BinaryOp::Shl,
        AssignOp::Shr => BinaryOp::Shr,
        AssignOp::And => BinaryOp::And,
        AssignOp::Or => BinaryOp::Or,
        AssignOp::Xor => BinaryOp::Xor,
    })
}

/// A value, and whether GNU ld knows it already when it parses: such a value
/// behaves as if the script had its number in its place.
struct Folded {
    value: Value,
    literal: bool,
}

struct Evaluator<'a, S: ?Sized> {
    scope: &'a S,
    /// See [`Definition::follows_dot`].
    follows_dot: Cell<bool>,
}

impl<'a, S: Scope + ?Sized> Evaluator<'a, S> {
    fn new(scope: &'a S) -> Self {
        Self {
            scope,
            follows_dot: Cell::new(false),
        }
    }

    fn assigned(&self, assignment: &Assignment) -> Result<Value> {
        let right = self.fold(&assignment.value)?;
        let Some(op) = binary_op(assignment.op) else {
            return Ok(right.value);
        };
        let target = &assignment.target;
        let left = if target.value == "." {
            self.dot(target.span)?
        } else {
            self.symbol(&target.value, target.span)?
        };
        self.operate(op, left, right.value, assignment.value.span)
    }

    fn fold(&self, expr: &Expr) -> Result<Folded> {
        let computed = |value| Folded {
            value,
            literal: false,
        };
        match &expr.kind {
            ExprKind::Int(number) => Ok(self.literal(number.value)),
            ExprKind::Unary(op, operand) => {
                let operand = self.fold(operand)?;
                Ok(self.unary(*op, operand))
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Conditional(conditional) => self.conditional(conditional),
            ExprKind::Call(function, argument) => self.call(*function, argument),
            ExprKind::Call2(function, first, second) => self.call2(*function, first, second),
            ExprKind::Dot => self.dot(expr.span).map(computed),
            ExprKind::Symbol(name) => self.symbol(name, expr.span).map(computed),
            ExprKind::NameCall(function, name) => self.name_call(*function, name).map(computed),
            ExprKind::SegmentStart(segment, default) => {
                let default = self.fold(default)?.value.value;
                let start = self.scope.segment_start(&segment.value);
                Ok(computed(self.relative_here(start.unwrap_or(default))))
            }
            ExprKind::SizeofHeaders => {
                let size = self.scope.sizeof_headers();
                let size = size.ok_or_else(|| not_known("SIZEOF_HEADERS", expr.span))?;
                Ok(computed(Value::number(size)))
            }
            ExprKind::Assert(condition, message) => {
                let value = self.fold(condition)?.value;
                self.check(value, message, expr.span)?;
                Ok(computed(value))
            }
        }
    }

    fn check(&self, value: Value, message: &Name, span: Span) -> Result<()> {
        if value.value != 0 || !self.scope.checks_assertions() {
            return Ok(());
        }
        let message = message.value.clone();
        Err(ScriptError::new(
            ErrorKind::AssertionFailed { message },
            span,
        ))
    }

    fn is_outside(&self) -> bool {
        self.scope.place() == Place::Outside
    }

    /// What a number of the script is here.
    fn literal(&self, value: u64) -> Folded {
        let base = self.number_base();
        let value = Value { value, base };
        Folded {
            value,
            literal: true,
        }
    }

    /// The base of numbers, and of what is left of two values of one base.
    fn number_base(&self) -> Base {
        if self.is_outside() && !self.scope.sane_expr() {
            Base::Absolute
        } else {
            Base::Number
        }
    }

    /// An address as this place counts: from its section.
    fn relative_here(&self, address: u64) -> Value {
        self.follows_dot.set(true);
        match self.scope.place() {
            Place::Outside => Value::absolute(address),
            Place::Inside(section) => {
                let start = self.scope.section_address(section);
                Value::in_section(address.wrapping_sub(start), section)
            }
        }
    }

    fn to_absolute(&self, value: Value) -> Value {
        self.follows_dot.set(false);
        Value::absolute(value.address(self.scope))
    }

    fn dot_address(&self, span: Span) -> Result<u64> {
        self.scope.dot().ok_or_else(|| not_known(".", span))
    }

    fn dot(&self, span: Span) -> Result<Value> {
        Ok(self.relative_here(self.dot_address(span)?))
    }

    fn symbol(&self, name: &str, span: Span) -> Result<Value> {
        match self.scope.symbol(name) {
            // Inside a section an absolute symbol is a number like any other.
            Lookup::Known(Value {
                value,
                base: Base::Absolute,
            }) if !self.is_outside() || self.scope.sane_expr() => Ok(Value::number(value)),
            Lookup::Known(value) => Ok(value),
            Lookup::NotYet => Err(not_known(name, span)),
            Lookup::Missing => {
                let name = name.to_owned();
                Err(ScriptError::new(ErrorKind::UndefinedSymbol { name }, span))
            }
        }
    }

    fn unary(&self, op: UnaryOp, operand: Folded) -> Folded {
        let Folded { mut value, literal } = operand;
        value.value = match op {
            UnaryOp::Neg => value.value.wrapping_neg(),
            UnaryOp::Not => u64::from(value.value == 0),
            UnaryOp::BitNot => !value.value,
        };
        Folded { value, literal }
    }

    /// The operands of a chain are folded from the left in a loop, since the
    /// chain may be long.
    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Folded> {
        let mut pending = vec![(op, right)];
        let mut first = left;
        while let ExprKind::Binary(op, left, right) = &first.kind {
            pending.push((*op, right));
            first = left;
        }
        let mut left = self.fold(first)?;
        while let Some((op, right_expr)) = pending.pop() {
            let right = self.fold(right_expr)?;
            let literal = left.literal && right.literal;
            let value = self.operate(op, left.value, right.value, right_expr.span)?;
            left = self.folded(value, literal);
        }
        Ok(left)
    }

    fn folded(&self, value: Value, literal: bool) -> Folded {
        match literal {
            true => self.literal(value.value),
            false => Folded { value, literal },
        }
    }

    fn conditional(&self, conditional: &Conditional) -> Result<Folded> {
        let condition = self.fold(&conditional.condition)?;
        let (chosen, other) = match condition.value.value {
            0 => (&conditional.otherwise, &conditional.then),
            _ => (&conditional.then, &conditional.otherwise),
        };
        let chosen = self.fold(chosen)?;
        // GNU ld folds when it parses only if all three are numbers; a value
        // chosen later keeps the base it has, which for a number is the same.
        let literal = condition.literal && chosen.literal && is_literal(other);
        Ok(self.folded(chosen.value, literal))
    }

    /// Brings two values to one base where neither is a plain number. Returns
    /// the numbers, the base of both, and whether they had the same.
    fn unify(&self, left: Value, right: Value) -> (u64, u64, Base, bool) {
        match (left.base, right.base) {
            (a, b) if a == b => (left.value, right.value, a, true),
            (base, Base::Number) | (Base::Number, base) => (left.value, right.value, base, false),
            _ => {
                let (left, right) = (self.to_absolute(left), self.to_absolute(right));
                (left.value, right.value, Base::Absolute, true)
            }
        }
    }

    fn operate(&self, op: BinaryOp, left: Value, right: Value, at: Span) -> Result<Value> {
        let (a, b, base, same) = self.unify(left, right);
        let arithmetic = |value| Value {
            value,
            base: if same { self.number_base() } else { base },
        };
        let truth = |holds: bool| Value::number(u64::from(holds));
        // The shift's count is its low six bits.
        let count = (b & 63) as u32;
        Ok(match op {
            BinaryOp::Add => arithmetic(a.wrapping_add(b)),
            BinaryOp::Sub => arithmetic(a.wrapping_sub(b)),
            BinaryOp::Mul => arithmetic(a.wrapping_mul(b)),
            BinaryOp::And => arithmetic(a & b),
            BinaryOp::Or => arithmetic(a | b),
            BinaryOp::Xor => arithmetic(a ^ b),
            BinaryOp::Shl => arithmetic(a << count),
            BinaryOp::Shr => arithmetic(a >> count),
            BinaryOp::Div | BinaryOp::Rem if b == 0 => {
                return Err(ScriptError::new(ErrorKind::DivisionByZero, at));
            }
            BinaryOp::Div => arithmetic(a.cast_signed().wrapping_div(b.cast_signed()) as u64),
            BinaryOp::Rem => arithmetic(a.cast_signed().wrapping_rem(b.cast_signed()) as u64),
            BinaryOp::Eq => truth(a == b),
            BinaryOp::Ne => truth(a != b),
            BinaryOp::Lt => truth(a < b),
            BinaryOp::Gt => truth(a > b),
            BinaryOp::Le => truth(a <= b),
            BinaryOp::Ge => truth(a >= b),
            BinaryOp::AndAnd => truth(a != 0 && b != 0),
            BinaryOp::OrOr => truth(a != 0 || b != 0),
        })
    }

    fn call(&self, function: Function, argument: &Expr) -> Result<Folded> {
        let Folded { value, literal } = self.fold(argument)?;
        let computed = |value| {
            Ok(Folded {
                value,
                literal: false,
            })
        };
        match function {
            Function::Absolute => computed(self.to_absolute(value)),
            Function::Align => {
                let dot = self.dot_address(argument.span)?;
                computed(self.relative_here(align_up(dot, value.value)))
            }
            Function::Next => {
                let align = self.to_absolute(value).value;
                let dot = self.dot_address(argument.span)?;
                computed(Value::absolute(align_up(dot, align)))
            }
            Function::Log2Ceil => Ok(self.folded(Value::number(log2_ceil(value.value)), literal)),
            Function::DataSegmentEnd => {
                self.outside_only("DATA_SEGMENT_END", argument.span)?;
                self.scope.data_segment_end(value.value);
                computed(value)
            }
        }
    }

    fn call2(&self, function: Function2, first: &Expr, second: &Expr) -> Result<Folded> {
        let (left, right) = (self.fold(first)?, self.fold(second)?);
        let (a, b, base, _) = self.unify(left.value, right.value);
        let span = first.span.to(second.span);
        let folds = matches!(function, Function2::Max | Function2::Min);
        let value = match function {
            Function2::Max => a.max(b),
            Function2::Min => a.min(b),
            Function2::Align => align_up(a, b),
            Function2::DataSegmentAlign => {
                self.outside_only("DATA_SEGMENT_ALIGN", span)?;
                let start = self.scope.data_segment_align(a, b);
                start.ok_or_else(|| not_known("DATA_SEGMENT_ALIGN", span))?
            }
            Function2::DataSegmentRelroEnd => {
                self.outside_only("DATA_SEGMENT_RELRO_END", span)?;
                let end = self.scope.data_segment_relro_end(a, b);
                end.ok_or_else(|| not_known("DATA_SEGMENT_RELRO_END", span))?
            }
        };
        let literal = folds && left.literal && right.literal;
        Ok(self.folded(Value { value, base }, literal))
    }

    fn outside_only(&self, what: &str, span: Span) -> Result<()> {
        if self.is_outside() {
            return Ok(());
        }
        let kind = ErrorKind::Misplaced {
            message: format!("`{what}` inside an output section"),
        };
        Err(ScriptError::new(kind, span).help("put it between output sections"))
    }

    fn name_call(&self, function: NameFunction, name: &Name) -> Result<Value> {
        let text = name.value.as_str();
        let scope = self.scope;
        let no_section = || ErrorKind::UndefinedSection {
            name: name.value.clone(),
        };
        let no_region = || ErrorKind::UndefinedRegion {
            name: name.value.clone(),
        };
        match function {
            NameFunction::Defined => Ok(Value::number(u64::from(scope.is_defined(text)))),
            NameFunction::Addr => {
                let section = known(scope.section(text), name, no_section)?;
                Ok(Value::in_section(0, section))
            }
            NameFunction::LoadAddr => {
                known(scope.load_address(text), name, no_section).map(Value::absolute)
            }
            NameFunction::Sizeof => known(scope.size_of(text), name, no_section).map(Value::number),
            NameFunction::AlignOf => {
                known(scope.align_of(text), name, no_section).map(Value::number)
            }
            NameFunction::Origin => {
                let region = known(scope.region(text), name, no_region)?;
                Ok(self.relative_here(region.origin))
            }
            NameFunction::Length => {
                let region = known(scope.region(text), name, no_region)?;
                Ok(Value::number(region.length))
            }
            NameFunction::Constant => {
                // The parser takes no other name.
                let which = match text {
                    "COMMONPAGESIZE" => PageSize::Common,
                    _ => PageSize::Max,
                };
                let size = scope.page_size(which);
                size.map(Value::number)
                    .ok_or_else(|| not_known(text, name.span))
            }
        }
    }
}

fn known<T>(found: Lookup<T>, name: &Name, missing: impl FnOnce() -> ErrorKind) -> Result<T> {
    match found {
        Lookup::Known(value) => Ok(value),
        Lookup::NotYet => Err(not_known(&name.value, name.span)),
        Lookup::Missing => Err(ScriptError::new(missing(), name.span)),
    }
}

fn not_known(what: &str, span: Span) -> ScriptError {
    let what = what.to_owned();
    ScriptError::new(ErrorKind::NotKnown { what }, span)
}

/// Whether GNU ld knows the value of an expression when it parses it.
fn is_literal(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) => true,
        ExprKind::Unary(_, operand) | ExprKind::Call(Function::Log2Ceil, operand) => {
            is_literal(operand)
        }
        ExprKind::Binary(_, left, right)
        | ExprKind::Call2(Function2::Max | Function2::Min, left, right) => {
            is_literal(left) && is_literal(right)
        }
        ExprKind::Conditional(conditional) => {
            is_literal(&conditional.condition)
                && is_literal(&conditional.then)
                && is_literal(&conditional.otherwise)
        }
        _ => false,
    }
}

/// The least n with 2ⁿ not below `value`; 0 for 0.
fn log2_ceil(value: u64) -> u64 {
    match value {
        0 | 1 => 0,
        _ => u64::from(64 - (value - 1).leading_zeros()),
    }
}
