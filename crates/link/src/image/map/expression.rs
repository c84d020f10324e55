//! Expressions as GNU ld writes them in maps (ld/ldexp.c, `exp_print_tree`): operations with
//! parentheses, numbers in base 16, and what is a number from the beginning as one.

use klink_script::eval::{Constants, evaluate};
use klink_script::{
    Assertion, AssignKind, AssignOp, Assignment, DataSize, Expr, ExprKind, Function2, UnaryOp,
};

/// `symbol = value`.
pub(super) fn assignment(given: &Assignment) -> String {
    let target = &given.target.value;
    let value = match operator(given.op) {
        None => expression(&given.value),
        Some(operator) => format!("({target} {operator} {})", expression(&given.value)),
    };
    match given.kind {
        AssignKind::Plain | AssignKind::Hidden => format!("{target} = {value}"),
        AssignKind::Provide | AssignKind::ProvideHidden => format!("PROVIDE ({target} = {value})"),
    }
}

/// `ASSERT (condition, message)`.
pub(super) fn assertion(given: &Assertion) -> String {
    let condition = expression(&given.condition);
    format!("ASSERT ({condition}, {})", given.message.value)
}

/// A value of a data statement, if it is not simply a number.
pub(super) fn not_a_number(value: &Expr) -> Option<String> {
    number(value).is_none().then(|| expression(value))
}

/// The keyword of a data statement.
pub(super) fn data_name(size: DataSize) -> &'static str {
    match size {
        DataSize::Byte => "BYTE",
        DataSize::Short => "SHORT",
        DataSize::Long => "LONG",
        DataSize::Quad => "QUAD",
        DataSize::Squad => "SQUAD",
    }
}

fn operator(op: AssignOp) -> Option<&'static str> {
    Some(match op {
        AssignOp::Set => return None,
        AssignOp::Add => "+",
        AssignOp::Sub => "-",
        AssignOp::Mul => "*",
        AssignOp::Div => "/",
        AssignOp::Shl => "<<",
        AssignOp::Shr => ">>",
        AssignOp::And => "&",
        AssignOp::Or => "|",
        AssignOp::Xor => "^",
    })
}

/// The value of an expression that GNU ld computes while it reads the script: one of numbers alone.
fn number(expr: &Expr) -> Option<u64> {
    let is_simple = match &expr.kind {
        ExprKind::Int(_) => true,
        ExprKind::Unary(_, operand) => number(operand).is_some(),
        ExprKind::Binary(_, left, right) => number(left).is_some() && number(right).is_some(),
        ExprKind::Call2(Function2::Max | Function2::Min, left, right) => {
            number(left).is_some() && number(right).is_some()
        }
        ExprKind::Conditional(parts) => [&parts.condition, &parts.then, &parts.otherwise]
            .iter()
            .all(|part| number(part).is_some()),
        _ => false,
    };
    let value = is_simple.then(|| evaluate(expr, &Constants).ok())??;
    Some(value.value)
}

fn expression(expr: &Expr) -> String {
    if let Some(number) = number(expr) {
        return format!("{number:#x}");
    }
    match &expr.kind {
        ExprKind::Int(int) => format!("{:#x}", int.value),
        ExprKind::Dot => ".".to_owned(),
        ExprKind::Symbol(name) => name.clone(),
        ExprKind::Unary(op, operand) => {
            let op = match op {
                UnaryOp::Neg => '-',
                UnaryOp::Not => '!',
                UnaryOp::BitNot => '~',
            };
            format!("{op} ({})", expression(operand))
        }
        ExprKind::Binary(op, left, right) => {
            format!("({} {} {})", expression(left), op.text(), expression(right))
        }
        ExprKind::Conditional(parts) => format!(
            "{}?{}:{}",
            expression(&parts.condition),
            expression(&parts.then),
            expression(&parts.otherwise)
        ),
        ExprKind::Call(function, argument) => {
            format!("{} ({})", function.text(), expression(argument))
        }
        ExprKind::Call2(function, first, second) => {
            let (first, second) = (expression(first), expression(second));
            format!("{} ({first}, {second})", function.text())
        }
        ExprKind::NameCall(function, name) => format!("{} ({})", function.text(), name.value),
        ExprKind::SegmentStart(segment, default) => {
            format!(
                "SEGMENT_START (\"{}\", {})",
                segment.value,
                expression(default)
            )
        }
        ExprKind::SizeofHeaders => "SIZEOF_HEADERS".to_owned(),
        ExprKind::Assert(condition, message) => {
            format!("ASSERT ({}, {})", expression(condition), message.value)
        }
    }
}
