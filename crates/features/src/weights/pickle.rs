//! Pickles read as data: a stack machine that builds values, calls nothing and imports nothing.
//!
//! Values lie in one arena and refer to each other by index, so neither deep nesting nor cycles can exhaust the
//! stack. What a file claims is checked against what it has before memory is taken.

use std::collections::HashMap;
use std::io::Read;

use super::element::Element;
use super::globals::{Global, resolve};
use super::source::{Parsed, Source, text};

/// Values in one file; a checkpoint with an optimiser and a long training log has some hundred thousand.
const VALUES: usize = 8_000_000;
/// Axes of a tensor.
const RANK: usize = 8;

/// Index of a value in the arena.
pub type Id = usize;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Python's None.
    None,
    /// True or false.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text, or a byte string of Python 2.
    Text(String),
    /// Bytes, or an integer of more than 64 bits.
    Bytes(Vec<u8>),
    /// List or set.
    List(Vec<Id>),
    /// Tuple.
    Tuple(Vec<Id>),
    /// Mapping, in insertion order.
    Dict(Vec<(Id, Id)>),
    /// An object that is not interpreted, with its attributes.
    Object(Vec<(Id, Id)>),
    /// A name on the list of `globals`.
    Global(Global),
    /// A run of numbers elsewhere in the file.
    Storage(Storage),
    /// A tensor: a view of a storage.
    Tensor(View),
}

/// A run of numbers elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Type of the numbers.
    pub element: Element,
    /// Name in the file.
    pub key: String,
}

/// How a tensor lies in its storage; offset and strides count numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Where the numbers are.
    pub storage: Storage,
    /// First number.
    pub offset: usize,
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// Distances between neighbours along each axis.
    pub strides: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    /// All values.
    pub values: Vec<Value>,
    /// The one that was pickled.
    pub root: Id,
}

/// Reads one pickle.
pub fn read<R: Read>(source: &mut Source<R>) -> Parsed<Pickle> {
    let mut machine =
        Machine { source, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), copied: 0 };
    loop {
        let opcode = machine.source.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root });
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a, R> {
    source: &'a mut Source<R>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Entries that were copied from one mapping to another: a few bytes of pickle may ask for many.
    copied: usize,
}

impl<R: Read> Machine<'_, R> {
    fn step(&mut self, opcode: u8) -> Parsed<()> {
        let value = match opcode {
            0x80 => return self.source.byte().map(|_| ()),
            0x95 => return self.source.array::<8>().map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b'0' => return self.pop().map(|_| ()),
            b'1' => return self.pop_mark().map(|_| ()),
            b'2' => {
                let top = *self.stack.last().ok_or("its pickle takes from an empty stack")?;
                self.stack.push(top);
                return Ok(());
            }
            b'q' | b'r' | 0x94 => return self.put(opcode),
            b'h' | b'j' => return self.get(opcode),
            b'a' | b'e' | 0x90 => return self.append(opcode),
            b's' | b'u' => return self.set(opcode),
            b'b' => return self.build(),
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(i64::from(self.source.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.source.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.source.array()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.source.array()?)),
            0x8a | 0x8b => self.long(opcode)?,
            b'U' | 0x8c | b'T' | b'X' | 0x8d => Value::Text(text(self.run(opcode)?)?),
            b'C' | b'B' | 0x8e | 0x96 => Value::Bytes(self.run(opcode)?),
            b']' | 0x8f => Value::List(vec![]),
            b')' => Value::Tuple(vec![]),
            b'}' => Value::Dict(vec![]),
            b'l' | 0x91 => Value::List(self.pop_mark()?),
            b't' => Value::Tuple(self.pop_mark()?),
            b'd' => Value::Dict(pairs(&self.pop_mark()?)?),
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                Value::Tuple(self.stack.split_off(at.ok_or("its pickle takes from an empty stack")?))
            }
            b'c' => {
                let (module, name) = (self.source.line()?, self.source.line()?);
                global(&module, &name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (Value::Text(module), Value::Text(name)) => global(module, name)?,
                    _ => return Err("its pickle names an object by something else than text".into()),
                }
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.rebuild(callable, arguments)?
            }
            0x92 => {
                let (_keywords, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.rebuild(callable, arguments)?
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?
            }
            other => {
                return Err(format!("its pickle has the instruction 0x{other:02x}, which torch.save never writes"));
            }
        };
        self.push(value)
    }

    fn push(&mut self, value: Value) -> Parsed<()> {
        if self.values.len() >= VALUES {
            return Err(format!("its pickle has more than {VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Parsed<Id> {
        self.stack.pop().ok_or_else(|| "its pickle takes from an empty stack".to_string())
    }

    /// Everything above the last mark.
    fn pop_mark(&mut self) -> Parsed<Vec<Id>> {
        let height = self.marks.pop().filter(|&height| height <= self.stack.len());
        Ok(self.stack.split_off(height.ok_or("its pickle closes a mark that was not opened")?))
    }

    fn top(&mut self) -> Parsed<&mut Value> {
        let top = *self.stack.last().ok_or("its pickle takes from an empty stack")?;
        Ok(&mut self.values[top])
    }

    fn put(&mut self, opcode: u8) -> Parsed<()> {
        let key = match opcode {
            b'q' => u32::from(self.source.byte()?),
            b'r' => u32::from_le_bytes(self.source.array()?),
            _ => self.memo.len() as u32,
        };
        let top = *self.stack.last().ok_or("its pickle takes from an empty stack")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Parsed<()> {
        let key = match opcode {
            b'h' => u32::from(self.source.byte()?),
            _ => u32::from_le_bytes(self.source.array()?),
        };
        self.stack.push(*self.memo.get(&key).ok_or("its pickle refers to a value it does not have")?);
        Ok(())
    }

    /// A length and as many bytes.
    fn run(&mut self, opcode: u8) -> Parsed<Vec<u8>> {
        let count = match opcode {
            b'U' | 0x8c | b'C' => u64::from(self.source.byte()?),
            b'T' | b'X' | b'B' => u64::from(u32::from_le_bytes(self.source.array()?)),
            _ => u64::from_le_bytes(self.source.array()?),
        };
        self.source.take(count)
    }

    fn long(&mut self, opcode: u8) -> Parsed<Value> {
        let count = if opcode == 0x8a {
            u64::from(self.source.byte()?)
        } else {
            u64::from(u32::from_le_bytes(self.source.array()?))
        };
        let bytes = self.source.take(count)?;
        if bytes.len() > 8 {
            return Ok(Value::Bytes(bytes));
        }
        let fill = if bytes.last().is_some_and(|&last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn append(&mut self, opcode: u8) -> Parsed<()> {
        let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
        match self.top()? {
            Value::List(list) => list.extend(items),
            // Items of an object that is not interpreted, such as a queue.
            Value::Object(_) => {}
            _ => return Err("its pickle appends to something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, opcode: u8) -> Parsed<()> {
        let items = if opcode == b's' {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        } else {
            self.pop_mark()?
        };
        let pairs = pairs(&items)?;
        match self.top()? {
            Value::Dict(entries) | Value::Object(entries) => entries.extend(pairs),
            _ => return Err("its pickle sets an item of something that is no mapping".into()),
        }
        Ok(())
    }

    /// Attributes of the value below the state. Those of mappings and tensors (`_metadata`, hooks) hold no weights.
    fn build(&mut self) -> Parsed<()> {
        let state = self.pop()?;
        let attributes = match &self.values[state] {
            Value::Dict(entries) => entries.clone(),
            _ => vec![],
        };
        self.charge(attributes.len())?;
        if let Value::Object(entries) = self.top()? {
            entries.extend(attributes);
        }
        Ok(())
    }

    /// What `callable(*arguments)` would have been; nothing is called.
    fn rebuild(&mut self, callable: Id, arguments: Id) -> Parsed<Value> {
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("its pickle passes arguments that are no tuple".into());
        };
        let wrong =
            || "its pickle rebuilds a tensor from something else than storage, offset, size and stride".to_string();
        Ok(match (&self.values[callable], &arguments[..]) {
            (Value::Global(Global::RebuildTensor), &[storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = &self.values[storage] else { return Err(wrong()) };
                let Value::Int(offset) = self.values[offset] else { return Err(wrong()) };
                Value::Tensor(View {
                    storage: storage.clone(),
                    offset: usize::try_from(offset).map_err(|_| wrong())?,
                    shape: self.extents(shape).ok_or_else(wrong)?,
                    strides: self.extents(strides).ok_or_else(wrong)?,
                })
            }
            (Value::Global(Global::RebuildParameter), &[data, ..]) => self.values[data].clone(),
            (Value::Global(Global::Mapping), arguments) => {
                let entries = self.mapping(arguments)?;
                self.charge(entries.len())?;
                Value::Dict(entries)
            }
            (Value::Global(Global::Inert) | Value::Object(_), _) => Value::Object(vec![]),
            _ => return Err("its pickle builds an object from something that is no class".into()),
        })
    }

    fn charge(&mut self, entries: usize) -> Parsed<()> {
        self.copied += entries;
        if self.copied > VALUES { Err(format!("its pickle copies more than {VALUES} values")) } else { Ok(()) }
    }

    fn extents(&self, tuple: Id) -> Option<Vec<usize>> {
        let Value::Tuple(items) = &self.values[tuple] else { return None };
        let one = |&item: &Id| match self.values[item] {
            Value::Int(extent) => usize::try_from(extent).ok(),
            _ => None,
        };
        if items.len() > RANK {
            return None;
        }
        items.iter().map(one).collect()
    }

    /// Python 2 passes the items of an `OrderedDict` as a list of pairs.
    fn mapping(&self, arguments: &[Id]) -> Parsed<Vec<(Id, Id)>> {
        let Some(Value::List(items)) = arguments.first().map(|&first| &self.values[first]) else { return Ok(vec![]) };
        let pair = |&item: &Id| match &self.values[item] {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("its pickle makes a mapping from something else than pairs".to_string()),
        };
        items.iter().map(pair).collect()
    }

    /// The storage of `("storage", class, key, location, count, …)`.
    fn storage(&self, id: Id) -> Parsed<Value> {
        if let Value::Tuple(parts) = &self.values[id]
            && let [_, class, key, ..] = parts[..]
            && let (Value::Global(Global::Storage(element)), Value::Text(key)) =
                (&self.values[class], &self.values[key])
        {
            return Ok(Value::Storage(Storage { element: *element, key: key.clone() }));
        }
        Err("its pickle refers to something outside it that is no storage".into())
    }
}

fn pairs(items: &[Id]) -> Parsed<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        return Err("its pickle has a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn global(module: &str, name: &str) -> Parsed<Value> {
    resolve(module, name).map(Value::Global).ok_or_else(|| {
        format!(
            "it holds the object `{module}.{name}`, which is neither a tensor nor a known container; nothing of it was \
             run"
        )
    })
}
