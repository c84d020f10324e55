//! Expressions: a Pratt parser with the precedences of ld/ldgram.y.

use super::{MAX_HEIGHT, Parser, Result};
use crate::diagnostic::{ErrorKind, ScriptError};
use crate::expr::{
    BinaryOp, CONDITIONAL, Conditional, Expr, ExprKind, Function, Function2, Int, NameFunction,
    UnaryOp,
};
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::source::{Name, Span};

const MODE: Mode = Mode::Expression;

/// An expression and the height of its tree.
struct Tree {
    expr: Expr,
    height: u32,
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        Ok(self.tree(0)?.expr)
    }

    /// An expression whose operators all bind at least as tightly as
    /// `minimum`.
    fn tree(&mut self, minimum: u8) -> Result<Tree> {
        let mut left = self.nested(Parser::operand)?;
        loop {
            let TokenKind::Punct(punct) = self.peek(MODE)?.kind else {
                return Ok(left);
            };
            if punct == Punct::Question && CONDITIONAL >= minimum {
                left = self.conditional(left)?;
                continue;
            }
            let Some(op) = binary_op(punct).filter(|op| op.power() >= minimum) else {
                return Ok(left);
            };
            self.next(MODE)?;
            let right = self.tree(op.power() + 1)?;
            left = both(op, left, right)?;
        }
    }

    fn conditional(&mut self, condition: Tree) -> Result<Tree> {
        self.next(MODE)?;
        let then = self.nested(|parser| parser.tree(0))?;
        self.expect(MODE, Punct::Colon, "after the value before it")?;
        let otherwise = self.nested(|parser| parser.tree(CONDITIONAL))?;
        chosen(condition, then, otherwise)
    }

    /// An operand. These functions call each other for every level of a
    /// script's parentheses: what needs room on the stack is done in
    /// functions that have returned before.
    fn operand(&mut self) -> Result<Tree> {
        let token = self.peek(MODE)?;
        match token.kind {
            TokenKind::Keyword(keyword) => self.function(keyword),
            TokenKind::Punct(punct) => self.prefix(punct, token.span),
            _ => self.leaf(),
        }
    }

    /// A number or a name.
    fn leaf(&mut self) -> Result<Tree> {
        let token = self.peek(MODE)?;
        let kind = match token.kind {
            TokenKind::Int(value) => {
                let bytes = fill_bytes(self.text_of(token.span));
                ExprKind::Int(Int { value, bytes })
            }
            TokenKind::Name { text: ".", .. } => ExprKind::Dot,
            TokenKind::Name { text, .. } => ExprKind::Symbol(text.to_owned()),
            _ => return Err(self.expected(MODE, "an expression")),
        };
        self.next(MODE)?;
        above(kind, token.span, 0)
    }

    /// An operand that starts with an operator or a parenthesis.
    fn prefix(&mut self, punct: Punct, start: Span) -> Result<Tree> {
        let op = match punct {
            Punct::ParenOpen => {
                let mut inner = self.argument("after the expression")?;
                inner.expr.span = start.to(self.last);
                return Ok(inner);
            }
            Punct::Plus => None,
            Punct::Minus => Some(UnaryOp::Neg),
            Punct::Bang => Some(UnaryOp::Not),
            Punct::Tilde => Some(UnaryOp::BitNot),
            _ => return Err(self.expected(MODE, "an expression")),
        };
        self.next(MODE)?;
        let mut operand = self.nested(Parser::operand)?;
        let span = start.to(operand.expr.span);
        operand.expr.span = span;
        match op {
            None => Ok(operand),
            Some(op) => above(
                ExprKind::Unary(op, Box::new(operand.expr)),
                span,
                operand.height,
            ),
        }
    }

    fn function(&mut self, keyword: Keyword) -> Result<Tree> {
        match keyword {
            Keyword::Align => self.align(),
            Keyword::Block => self.call(Function::Align),
            Keyword::Absolute => self.call(Function::Absolute),
            Keyword::Next => self.call(Function::Next),
            Keyword::Log2Ceil => self.call(Function::Log2Ceil),
            Keyword::DataSegmentEnd => self.call(Function::DataSegmentEnd),
            Keyword::Max => self.call2(Function2::Max),
            Keyword::Min => self.call2(Function2::Min),
            Keyword::DataSegmentAlign => self.call2(Function2::DataSegmentAlign),
            Keyword::DataSegmentRelroEnd => self.call2(Function2::DataSegmentRelroEnd),
            Keyword::SegmentStart => self.segment_start(),
            Keyword::Assert => self.assert(),
            _ => self.simple_function(keyword),
        }
    }

    /// A function without an expression in it.
    fn simple_function(&mut self, keyword: Keyword) -> Result<Tree> {
        let start = self.peek(MODE)?.span;
        if keyword == Keyword::SizeofHeaders {
            self.next(MODE)?;
            return above(ExprKind::SizeofHeaders, start, 0);
        }
        let Some((function, mode, what)) = name_function(keyword) else {
            return Err(self.expected(MODE, "an expression"));
        };
        self.next(MODE)?;
        let name = self.paren_name(mode, what)?;
        if function == NameFunction::Constant {
            check_constant(&name)?;
        }
        above(ExprKind::NameCall(function, name), start.to(self.last), 0)
    }

    /// The name of a function and its `(`. Returns where the name is.
    fn function_name(&mut self) -> Result<Span> {
        let start = self.next(MODE)?.span;
        let name = self.text_of(start);
        self.open(MODE, &format!("after `{name}`"))?;
        Ok(start)
    }

    /// What stands between a parenthesis, which is next, and its partner.
    fn argument(&mut self, context: &str) -> Result<Tree> {
        self.next(MODE)?;
        let inner = self.tree(0)?;
        self.close(MODE, context)?;
        Ok(inner)
    }

    /// `ALIGN` of one value or of two.
    fn align(&mut self) -> Result<Tree> {
        let start = self.function_name()?;
        let first = self.tree(0)?;
        if self.at(MODE, Punct::Comma)? {
            return self.second_argument(Function2::Align, start, first);
        }
        self.close(MODE, "after the alignment")?;
        self.call_of(Function::Align, start, first)
    }

    fn call(&mut self, function: Function) -> Result<Tree> {
        let start = self.function_name()?;
        let argument = self.tree(0)?;
        self.close(MODE, "after the argument")?;
        self.call_of(function, start, argument)
    }

    fn call_of(&mut self, function: Function, start: Span, argument: Tree) -> Result<Tree> {
        let kind = ExprKind::Call(function, Box::new(argument.expr));
        above(kind, start.to(self.last), argument.height)
    }

    fn call2(&mut self, function: Function2) -> Result<Tree> {
        let start = self.function_name()?;
        let first = self.tree(0)?;
        self.second_argument(function, start, first)
    }

    /// The second argument of two, with the comma before it.
    fn second_argument(&mut self, function: Function2, start: Span, first: Tree) -> Result<Tree> {
        self.expect(MODE, Punct::Comma, "after the first argument")?;
        let second = self.tree(0)?;
        self.close(MODE, "after the second argument")?;
        let height = first.height.max(second.height);
        let kind = ExprKind::Call2(function, Box::new(first.expr), Box::new(second.expr));
        above(kind, start.to(self.last), height)
    }

    fn segment_start(&mut self) -> Result<Tree> {
        let start = self.function_name()?;
        let segment = self.name(Mode::Script, "the name of a segment")?;
        self.expect(MODE, Punct::Comma, "after the segment")?;
        let default = self.tree(0)?;
        self.close(MODE, "after the default")?;
        let kind = ExprKind::SegmentStart(segment, Box::new(default.expr));
        above(kind, start.to(self.last), default.height)
    }

    fn assert(&mut self) -> Result<Tree> {
        let start = self.function_name()?;
        let condition = self.tree(0)?;
        self.expect(MODE, Punct::Comma, "after the condition")?;
        let message = self.name(MODE, "a message in quotes")?;
        self.close(MODE, "after the message")?;
        let kind = ExprKind::Assert(Box::new(condition.expr), message);
        above(kind, start.to(self.last), condition.height)
    }
}

fn chosen(condition: Tree, then: Tree, otherwise: Tree) -> Result<Tree> {
    let height = condition.height.max(then.height).max(otherwise.height);
    let span = condition.expr.span.to(otherwise.expr.span);
    let conditional = Conditional {
        condition: condition.expr,
        then: then.expr,
        otherwise: otherwise.expr,
    };
    above(ExprKind::Conditional(Box::new(conditional)), span, height)
}

fn both(op: BinaryOp, left: Tree, right: Tree) -> Result<Tree> {
    let height = left.height.max(right.height);
    let span = left.expr.span.to(right.expr.span);
    let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(right.expr));
    above(kind, span, height)
}

/// A node above others of at most `height`.
fn above(kind: ExprKind, span: Span, height: u32) -> Result<Tree> {
    let height = height + 1;
    if height > MAX_HEIGHT {
        let kind = ErrorKind::TooDeep { limit: MAX_HEIGHT };
        return Err(ScriptError::new(kind, span));
    }
    let expr = Expr { kind, span };
    Ok(Tree { expr, height })
}

/// The bytes of a number written `0x…` (`exp_get_fill` in ld/ldexp.c).
fn fill_bytes(text: &str) -> Option<Box<[u8]>> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"))?;
    let digits: Option<Vec<u8>> = digits
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty())?;
    let (odd, pairs) = digits.split_at(digits.len() % 2);
    let pairs = pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(odd.iter().copied().chain(pairs).collect())
}

fn check_constant(name: &Name) -> Result<()> {
    const CONSTANTS: [&str; 2] = ["MAXPAGESIZE", "COMMONPAGESIZE"];
    if CONSTANTS.contains(&name.value.as_str()) {
        return Ok(());
    }
    Err(super::unknown_word("constant", name, CONSTANTS))
}

/// A function of a name, the mode its name is read in and what it names.
fn name_function(keyword: Keyword) -> Option<(NameFunction, Mode, &'static str)> {
    let section = |function| Some((function, Mode::Script, "an output section"));
    let region = |function| Some((function, Mode::Script, "a memory region"));
    match keyword {
        Keyword::Addr => section(NameFunction::Addr),
        Keyword::LoadAddr => section(NameFunction::LoadAddr),
        Keyword::Sizeof => section(NameFunction::Sizeof),
        Keyword::AlignOf => section(NameFunction::AlignOf),
        Keyword::Origin => region(NameFunction::Origin),
        Keyword::Length => region(NameFunction::Length),
        Keyword::Defined => Some((NameFunction::Defined, MODE, "a symbol")),
        Keyword::Constant => Some((NameFunction::Constant, MODE, "a constant")),
        _ => None,
    }
}

/// The binary operator that is written so.
fn binary_op(punct: Punct) -> Option<BinaryOp> {
    Some(match punct {
        Punct::OrOr => BinaryOp::OrOr,
        Punct::AndAnd => BinaryOp::AndAnd,
        Punct::Or => BinaryOp::Or,
        Punct::Xor => BinaryOp::Xor,
        Punct::And => BinaryOp::And,
        Punct::EqEq => BinaryOp::Eq,
        Punct::NotEq => BinaryOp::Ne,
        Punct::Less => BinaryOp::Lt,
        Punct::Greater => BinaryOp::Gt,
        Punct::LessEq => BinaryOp::Le,
        Punct::GreaterEq => BinaryOp::Ge,
        Punct::Shl => BinaryOp::Shl,
        Punct::Shr => BinaryOp::Shr,
        Punct::Plus => BinaryOp::Add,
        Punct::Minus => BinaryOp::Sub,
        Punct::Star => BinaryOp::Mul,
        Punct::Slash => BinaryOp::Div,
        Punct::Percent => BinaryOp::Rem,
        _ => return None,
    })
}
