//! Writes the generated sources of the example module: C files of many functions that call
//! each other, near and far, and the kernel.
//!
//! `generate DIR` writes `parts.h` and one `.c` file for each part into DIR. The same program
//! writes the same text on every machine: its random numbers have a fixed seed.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

/// The parts of the module, one object file each.
const PARTS: [&str; 36] = [
    "agent", "alloc", "attr", "bitmap", "block", "buffer", "cache", "cursor", "defer", "dir",
    "discard", "dquot", "error", "extent", "file", "free", "fsmap", "health", "inode", "ioctl",
    "item", "iwalk", "journal", "label", "lease", "mount", "quota", "recover", "refcount",
    "reflink", "rmap", "scrub", "stats", "super", "trans", "xattr",
];

const VERBS: [&str; 24] = [
    "add", "build", "check", "commit", "compare", "convert", "count", "find", "finish", "flush",
    "format", "grow", "init", "insert", "join", "load", "log", "lookup", "mark", "move", "read",
    "remove", "split", "update",
];

const NOUNS: [&str; 20] = [
    "block", "body", "bucket", "chain", "entry", "extent", "group", "head", "key", "leaf", "level",
    "list", "map", "name", "node", "range", "record", "root", "slot", "tail",
];

/// Names that several parts use for a function of their own, as kernel files do.
const SHARED_NAMES: [&str; 8] = [
    "is_full",
    "check_magic",
    "next_slot",
    "key_order",
    "drop_all",
    "first_free",
    "hash_name",
    "verify",
];

/// Functions that every part calls often, so that most calls to them are far.
const HOT: [(&str, Shape); 4] = [
    ("trans_log_record", Shape::Apply),
    ("error_report", Shape::Apply),
    ("buffer_read_block", Shape::Check),
    ("trans_join_item", Shape::Drop),
];

const FUNCTIONS_IN_A_PART: usize = 50;

/// A fixed sequence of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What a function takes and gives: the shapes of the fields of `struct operations`.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Check,
    Apply,
    Merge,
    Drop,
    Scale,
}

impl Shape {
    const ALL: [Self; 5] = [
        Self::Check,
        Self::Apply,
        Self::Merge,
        Self::Drop,
        Self::Scale,
    ];

    fn result(self) -> &'static str {
        match self {
            Self::Check | Self::Apply => "int",
            Self::Merge => "u32",
            Self::Drop => "void",
            Self::Scale => "u64",
        }
    }

    fn parameters(self) -> &'static str {
        match self {
            Self::Check | Self::Drop => "struct record *r",
            Self::Apply => "struct record *r, u32 a",
            Self::Merge => "struct record *r, struct record *q, u32 a, u32 b",
            Self::Scale => "struct record *r, u64 v",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Apply => "apply",
            Self::Merge => "merge",
            Self::Drop => "drop",
            Self::Scale => "scale",
        }
    }
}

struct Function {
    part: usize,
    name: String,
    shape: Shape,
    /// `static`: only functions of the same part call it.
    local: bool,
    /// How many statements its body has, about.
    weight: usize,
}

impl Function {
    fn prototype(&self) -> String {
        format!(
            "{} {}({})",
            self.shape.result(),
            self.name,
            self.shape.parameters()
        )
    }
}

/// Names, shapes and sizes of all functions, part by part.
fn plan(random: &mut Random) -> Vec<Function> {
    let mut functions = Vec::new();
    for (part, part_name) in PARTS.iter().enumerate() {
        for (name, shape) in HOT
            .iter()
            .filter(|(name, _)| name.split('_').next() == Some(part_name))
        {
            functions.push(Function {
                part,
                name: (*name).into(),
                shape: *shape,
                local: false,
                weight: 8,
            });
        }
        for index in 0..FUNCTIONS_IN_A_PART {
            let weight = match random.below(10) {
                0..=3 => 1 + random.below(4),
                4..=7 => 4 + random.below(8),
                8 => 10 + random.below(14),
                _ => 20 + random.below(24),
            };
            let local = random.chance(55);
            let name = if local && random.chance(20) {
                (*random.one_of(&SHARED_NAMES)).to_owned()
            } else {
                format!(
                    "{part_name}_{}_{}",
                    random.one_of(&VERBS),
                    random.one_of(&NOUNS)
                )
            };
            let taken = functions
                .iter()
                .any(|f: &Function| f.part == part && f.name == name);
            let name = if taken {
                format!("{name}_{index}")
            } else {
                name
            };
            functions.push(Function {
                part,
                name,
                shape: *random.one_of(&Shape::ALL),
                local,
                weight,
            });
        }
    }
    functions
}

/// Writes one function's body, statement by statement.
struct Body<'a> {
    functions: &'a [Function],
    this: &'a Function,
    random: &'a mut Random,
    text: String,
    depth: usize,
    fails: bool,
}

impl Body<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.text.push('\t');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A 32-bit value that is at hand.
    fn value(&mut self) -> String {
        let own: &[&str] = match self.this.shape {
            Shape::Apply => &["a"],
            Shape::Merge => &["a", "b", "q->count", "q->flags", "q->depth"],
            Shape::Scale => &["(u32)v", "(u32)(v >> 32)"],
            _ => &["r->id"],
        };
        let index = self.random.below(24);
        match self.random.below(9) {
            0 => format!("{}", self.random.below(4000)),
            1 => format!("0x{:x}", self.random.below(1 << 31)),
            2 => format!("r->slot[{index}]"),
            3 => (*self
                .random
                .one_of(&["r->count", "r->used", "r->flags", "r->depth", "r->width"]))
            .into(),
            4 | 5 => (*self.random.one_of(own)).into(),
            6 => (*self
                .random
                .one_of(&["i", "(u32)error", "(u32)total", "atlas_limit"]))
            .into(),
            _ => "n".into(),
        }
    }

    /// Another function: usually of this part, sometimes of any, often one of the hot ones.
    fn callee(&mut self) -> (String, Shape) {
        if self.random.chance(14) {
            let (name, shape) = *self.random.one_of(&HOT);
            return (name.into(), shape);
        }
        let near = self.random.chance(55);
        loop {
            let f = &self.functions[self.random.below(self.functions.len())];
            if f.name != self.this.name
                && (!f.local || f.part == self.this.part)
                && (!near || f.part == self.this.part)
            {
                return (f.name.clone(), f.shape);
            }
        }
    }

    /// A call of `name`, its result put to use.
    fn call(&mut self, name: &str, shape: Shape) {
        let (a, b) = (self.value(), self.value());
        let other = *self.random.one_of(&["r", "r->next", "r->parent"]);
        match shape {
            Shape::Check => self.attempt(&format!("{name}({other})")),
            Shape::Apply => self.attempt(&format!("{name}({other}, {a})")),
            Shape::Merge => self.line(&format!("n += {name}(r, {other}, {a}, {b});")),
            Shape::Drop => self.line(&format!("{name}({other});")),
            Shape::Scale => self.line(&format!("total = {name}(r, total + {a});")),
        }
    }

    /// `error = call`, with one of the usual ways to go on.
    fn attempt(&mut self, call: &str) {
        self.line(&format!("error = {call};"));
        match self.random.below(4) {
            0 => self.line("n += error;"),
            1 => self.line("if (!error)\n\t\tr->used++;"),
            _ => {
                self.fails = true;
                self.line("if (error)\n\t\tgoto out;");
            }
        }
    }

    fn kernel_call(&mut self) {
        let a = self.value();
        let words = format!(
            "{} {}",
            self.random.one_of(&VERBS),
            self.random.one_of(&NOUNS)
        );
        let part = PARTS[self.this.part];
        let index = self.random.below(16);
        match self.random.below(16) {
            0 | 1 => self.line(&format!(
                "_printk(\"{part}: cannot {words}: %u of %u\\n\", {a}, r->count);"
            )),
            2 => {
                let text = format!(
                    "n = crc32c(n, &r->slot[{index}], {});",
                    4 + self.random.below(28)
                );
                self.line(&text);
            }
            3 => self.line(&format!(
                "memcpy(&r->slot[{index}], &r->next->slot[{index}], sizeof(u32) * 8);"
            )),
            4 => self.line(&format!("memset(r->name, {a}, sizeof(r->name));")),
            5 => self.line(&format!("error |= strcmp(r->name, \"{words}\");")),
            6 => {
                self.line("mutex_lock(r->lock);");
                let inner = self.arithmetic();
                self.line(&inner);
                self.line("mutex_unlock(r->lock);");
            }
            7 => {
                self.line("down_read(r->lock);");
                let (name, shape) = self.callee();
                self.call(&name, shape);
                if self.fails && self.text.ends_with("goto out;\n") {
                    self.line("r->flags &= ~8;");
                }
                self.line("up_read(r->lock);");
            }
            8 => {
                let text = format!(
                    "r->data = __kmalloc({} + (n & 255), 0xcc0);",
                    8 << self.random.below(6)
                );
                self.line(&text);
            }
            9 => {
                self.fails = true;
                self.line("if (!r->data) {\n\t\terror = -ENOMEM;\n\t\tgoto out;\n\t}");
            }
            10 => self.line("kfree(r->data);\n\tr->data = NULL;"),
            11 => {
                let text = format!(
                    "queue_work_on({}, r->pool, &r->slot[{index}]);",
                    self.random.below(4)
                );
                self.line(&text);
            }
            12 => self.attempt("submit_bio_wait(r->data)"),
            13 => {
                let text = *self.random.one_of(&[
                    "schedule();",
                    "iput(r->data);",
                    "put_page(r->data);",
                    "wake_up_process(r->data);",
                ]);
                self.line(text);
            }
            14 => {
                let text = format!(
                    "r->data = mempool_alloc(r->pool, {});",
                    self.random.below(64)
                );
                self.line(&text);
            }
            _ => {
                let text = format!(
                    "n ^= strlen(r->name) + format_number(r->name, sizeof(r->name), total, {});",
                    2 + self.random.below(30)
                );
                self.line(&text);
            }
        }
    }

    fn arithmetic(&mut self) -> String {
        let (a, b) = (self.value(), self.value());
        let (i, k) = (self.random.below(24), self.random.below(24));
        match self.random.below(14) {
            0 => format!("n = n * {} + {a};", 3 + self.random.below(60)),
            1 => format!("n ^= {a} >> {};", 1 + self.random.below(20)),
            2 => format!("r->slot[{i}] += {a} & 0x{:x};", self.random.below(1 << 16)),
            3 => format!("r->slot[{i}] = r->slot[{k}] ^ n;"),
            4 => format!("n /= ({a} | 1);"),
            5 => format!("n %= {};", 3 + self.random.below(900)),
            6 => format!(
                "r->slot[{i}] /= {};",
                *self.random.one_of(&[3, 5, 6, 7, 9, 10, 12, 14, 15, 1000])
            ),
            7 => format!("total += (u64){a} * {b};"),
            8 => format!("total = (total << {}) | {a};", 1 + self.random.below(30)),
            9 => format!("r->block += total - {a};"),
            10 => format!(
                "r->flags = (r->flags & ~{}) | ({a} & 7);",
                1 << self.random.below(12)
            ),
            11 => format!(
                "atlas_counters.{} += {a};",
                self.random.one_of(&["calls", "errors", "retries", "bytes"])
            ),
            12 => "r->stamp = jiffies;".into(),
            _ => format!("error = (s32){a} / ((s32)n | 1);"),
        }
    }

    fn condition(&mut self) -> String {
        let (a, b) = (self.value(), self.value());
        match self.random.below(6) {
            0 => format!("{a} > {b}"),
            1 => format!("r->flags & {}", 1 << self.random.below(14)),
            2 => "r->next && r->next->count".into(),
            3 => format!(
                "unlikely(r->magic != 0x4154{:04x})",
                self.random.below(1 << 16)
            ),
            4 => format!("total > {a} && n"),
            _ => format!("(s32){a} < 0"),
        }
    }

    fn choice(&mut self) {
        let on = self.value();
        let arms = 4 + self.random.below(8);
        self.line(&format!("switch ({on} & 15) {{"));
        for arm in 0..arms {
            let work = self.arithmetic();
            self.line(&format!("case {arm}:"));
            self.line(&format!("\t{work}"));
            if self.random.chance(35) {
                let (name, _) = HOT[self.random.below(2)];
                self.line(&format!("\terror |= {name}(r, {arm});"));
            }
            self.line("\tbreak;");
        }
        self.line("}");
    }

    fn statement(&mut self) {
        match self.random.below(20) {
            0..=4 => {
                let (name, shape) = self.callee();
                self.call(&name, shape);
            }
            5..=8 => self.kernel_call(),
            9..=12 => {
                let work = self.arithmetic();
                self.line(&work);
            }
            13 | 14 => {
                let (if_this, work) = (self.condition(), self.arithmetic());
                self.line(&format!("if ({if_this}) {{"));
                self.line(&format!("\t{work}"));
                if self.random.chance(50) {
                    self.depth += 1;
                    self.kernel_call();
                    self.depth -= 1;
                }
                self.line("}");
            }
            15 => {
                let work = self.arithmetic();
                let last = 2 + self.random.below(22);
                self.line(&format!("for (i = 0; i < {last}; i++) {{"));
                let text = format!("\tr->slot[i] ^= n + {};", self.random.below(99));
                self.line(&text);
                self.line(&format!("\t{work}\n\t}}"));
            }
            16 => self.choice(),
            17 => {
                let field = *self.random.one_of(&["check", "drop"]);
                let call = if field == "check" {
                    "error |= r->ops->check(r)"
                } else {
                    "r->ops->drop(r)"
                };
                self.line(&format!("if (r->ops && r->ops->{field})\n\t\t{call};"));
            }
            18 => {
                let if_this = self.condition();
                let text = format!("if (WARN_ON({if_this}))\n\t\treturn{};", self.answer());
                self.line(&text);
            }
            _ => {
                let text = *self.random.one_of(&[
                    "get_user(n, error, r->data);",
                    "r = r->next ? r->next : r;",
                    "total ^= r->length;",
                    "n += tree_find(r, total) ? 1 : 2;",
                    "tree_remove(r->parent, r);",
                    "record_free(record_clone(r));",
                ]);
                self.line(text);
            }
        }
    }

    fn answer(&self) -> &'static str {
        match self.this.shape {
            Shape::Check | Shape::Apply => " error + (n & 1)",
            Shape::Merge => " n ^ error ^ (u32)total",
            Shape::Drop => "",
            Shape::Scale => " total + n + error",
        }
    }
}

fn write_function(functions: &[Function], this: &Function, random: &mut Random) -> String {
    let mut body = Body {
        functions,
        this,
        random,
        text: String::new(),
        depth: 1,
        fails: false,
    };
    for _ in 0..this.weight {
        body.statement();
    }
    let start = body.value();
    let start =
        if start == "n" || start.contains("total") || start == "i" || start.contains("error") {
            "r->id".to_owned()
        } else {
            start
        };
    let storage = if this.local { "static noinline " } else { "" };
    let mut text = format!(
        "{storage}{}\n{{\n\tu32 n = {start}, i = 0;\n\tu64 total = r->length;\n\tint error = 0;\n\n",
        this.prototype()
    );
    text.push_str(&body.text);
    if body.fails {
        text.push_str("out:\n");
    }
    let keep = if this.shape == Shape::Drop {
        "\tr->slot[0] ^= n + i + error + (u32)total;\n"
    } else {
        "\tr->slot[1] ^= i;\n"
    };
    text.push_str(keep);
    let answer = body.answer();
    let _ = writeln!(text, "\treturn{answer};\n}}\n");
    text
}

/// The tables that make every function of a part reachable by pointer.
fn write_tables(part: &str, own: &[&Function]) -> String {
    let longest = Shape::ALL
        .iter()
        .map(|s| own.iter().filter(|f| f.shape == *s).count())
        .max()
        .unwrap_or(0);
    let mut text = format!("const struct operations {part}_operations[] = {{\n");
    for row in 0..longest {
        let _ = write!(text, "\t{{ .name = \"{part}.{row}\"");
        for shape in Shape::ALL {
            if let Some(f) = own.iter().filter(|f| f.shape == shape).nth(row) {
                let _ = write!(text, ", .{} = {}", shape.field(), f.name);
            }
        }
        text.push_str(" },\n");
    }
    text.push_str("};\n");
    text
}

fn write_part(functions: &[Function], part: usize, random: &mut Random) -> String {
    let name = PARTS[part];
    let own: Vec<&Function> = functions.iter().filter(|f| f.part == part).collect();
    let mut text = format!(
        "/* Written by generate.rs: the part `{name}` of the module. */\n#include \"atlas.h\"\n#include \"parts.h\"\n\n"
    );
    for f in own.iter().filter(|f| f.local) {
        let _ = writeln!(text, "static {};", f.prototype());
    }
    text.push('\n');
    for f in &own {
        text.push_str(&write_function(functions, f, random));
    }
    text.push_str(&write_tables(name, &own));
    let check = own
        .iter()
        .find(|f| f.shape == Shape::Check && !f.local)
        .map_or("NULL", |f| &f.name);
    let _ = writeln!(
        text,
        "\nint __init {name}_start(struct record *r)\n{{\n\tint (*first)(struct record *) = {check};\n\tstruct record *own = record_alloc({part});\n\n\
         \tif (!own)\n\t\treturn -ENOMEM;\n\tmemcpy(own->name, \"{name}\", {});\n\town->ops = {name}_operations;\n\
         \tif (first && atlas_limit > {})\n\t\town->flags = first == own->ops->check;\n\treturn tree_insert(r, own);\n}}",
        name.len() + 1,
        4096 + part
    );
    text
}

/// The prototypes of everything that is not `static`, and the list of parts.
fn write_header(functions: &[Function]) -> String {
    let mut text = String::from(
        "/* Written by generate.rs: what the parts offer each other. */\n#ifndef PARTS_H\n#define PARTS_H\n\n",
    );
    for f in functions.iter().filter(|f| !f.local) {
        let _ = writeln!(text, "{};", f.prototype());
    }
    text.push_str("\n#define PARTS");
    for name in PARTS {
        let _ = write!(text, " \\\n\tPART({name})");
    }
    text.push_str("\n\n#endif\n");
    text
}

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1) else {
        return Err(io::Error::other("usage: generate DIR"));
    };
    let folder = Path::new(&folder);
    let mut random = Random(0x6b6c_696e_6b00_0001);
    let functions = plan(&mut random);
    fs::write(folder.join("parts.h"), write_header(&functions))?;
    for (part, name) in PARTS.iter().enumerate() {
        fs::write(
            folder.join(format!("{name}.c")),
            write_part(&functions, part, &mut random),
        )?;
    }
    Ok(())
}
