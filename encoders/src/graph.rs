//! One ONNX Runtime session of one thread, its inputs and output checked against the manifest.
//!
//! Dynamically quantised graphs take one scale for the whole activation tensor of a batch, padding
//! and batch-mates included: a passage's weights depend, in their last digits, on its company.
//! So a batch's make-up is part of the result; `batches` fixes it from the slice alone.

use std::borrow::Cow;
use std::path::Path;

use half::f16;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, Tensor, TensorElementType, TensorRef, ValueType};

use crate::graph_bytes::GraphBytes;
use crate::{Device, EncoderError, OnnxInputs, runtime};

/// ONNX Runtime's setting for exact sums of products of 8 bits on x86 CPUs without VNNI: by default they saturate at
/// 16 bits there, and a quantised model gives other vectors than elsewhere. It is documented for those CPUs alone.
const EXACT_PRODUCTS: &str = "session.x64quantprecision";
/// ONNX Runtime's setting for the folder that weights beside a graph are looked for in.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";
/// A folder that cannot be.
const NOWHERE: &str = "/dev/null/none";

/// What a graph calls its inputs and its output, and the output's shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature<'a> {
    pub(crate) inputs: &'a OnnxInputs,
    pub(crate) output: &'a str,
    pub(crate) shape: OutputShape,
    /// A further output `[batch, length, n]` of float32 or int32: what the graph pools.
    pub(crate) unpooled: Option<&'a str>,
}

/// Values that a graph gives, float32 (or float16, which becomes that).
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputShape {
    /// `[batch, n]`.
    Passage(usize),
    /// `[batch, length, n]`.
    Token(usize),
}

impl OutputShape {
    /// The sizes for a batch.
    fn of(self, rows: usize, length: usize) -> Vec<usize> {
        match self {
            Self::Passage(n) => vec![rows, n],
            Self::Token(n) => vec![rows, length, n],
        }
    }

    /// The size of the last axis.
    fn last(self) -> usize {
        let (Self::Passage(n) | Self::Token(n)) = self;
        n
    }
}

/// What feeds an input.
#[derive(Debug, Clone, Copy)]
enum Role {
    TokenIds,
    AttentionMask,
    TokenTypes,
    Positions,
    PoolMask,
}

/// An input: what feeds it, its name, and whether it takes 32 bits.
#[derive(Debug)]
struct Input {
    role: Role,
    name: String,
    narrow: bool,
}

/// Sizes that a graph takes alone, where it was exported so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// Texts of a batch.
    pub(crate) rows: Option<usize>,
    /// Tokens of each text.
    pub(crate) length: Option<usize>,
}

/// A session with its names.
#[derive(Debug)]
pub(crate) struct Graph {
    session: Session,
    inputs: Vec<Input>,
    fixed: Fixed,
    output: String,
    shape: OutputShape,
    unpooled: Option<String>,
}

/// What a graph gives, for a batch or for one text of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output<'a> {
    /// The output's values.
    pub(crate) values: &'a [f32],
    /// What was pooled, where that was asked for.
    pub(crate) unpooled: Unpooled<'a>,
}

/// Token values in the numbers that the graph has them in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unpooled<'a> {
    Not,
    Float(&'a [f32]),
    Whole(&'a [i32]),
}

impl<'a> Output<'a> {
    /// The parts of the `rows` texts of a batch.
    pub(crate) fn parts(self, rows: usize) -> impl Iterator<Item = Self> {
        let part = move |length: usize, row: usize| {
            let each = length / rows.max(1);
            row * each..(row + 1) * each
        };
        (0..rows).map(move |row| Output {
            values: &self.values[part(self.values.len(), row)],
            unpooled: match self.unpooled {
                Unpooled::Not => Unpooled::Not,
                Unpooled::Float(all) => Unpooled::Float(&all[part(all.len(), row)]),
                Unpooled::Whole(all) => Unpooled::Whole(&all[part(all.len(), row)]),
            },
        })
    }
}

/// The tokens of a text as a graph takes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputRow<'a> {
    pub(crate) ids: &'a [u32],
    /// How many of them, from the first, others attend to.
    pub(crate) attended: usize,
    /// The first position that is pooled, for a graph that takes a pool mask,
    pub(crate) pooled_from: usize,
    /// and the one behind the last.
    pub(crate) pooled_to: usize,
}

/// The rows of a batch as tensors `[rows, length]`; the space is reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    rows: usize,
    length: usize,
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
    positions: Vec<i64>,
    pooled: Vec<i64>,
}

impl Tensors {
    /// Fills in `rows`, each padded with `pad` to `length`.
    pub(crate) fn fill<'a>(
        &mut self,
        rows: impl Iterator<Item = InputRow<'a>>,
        length: usize,
        pad: u32,
    ) {
        self.ids.clear();
        self.mask.clear();
        self.positions.clear();
        self.pooled.clear();
        (self.rows, self.length) = (0, length);
        for row in rows {
            self.rows += 1;
            self.ids.extend(row.ids.iter().map(|id| i64::from(*id)));
            self.ids.resize(self.rows * length, i64::from(pad));
            self.mask.resize(self.mask.len() + row.attended, 1);
            self.mask.resize(self.rows * length, 0);
            self.pooled.resize(self.pooled.len() + row.pooled_from, 0);
            self.pooled.resize((self.rows - 1) * length + row.pooled_to, 1);
            self.pooled.resize(self.rows * length, 0);
            self.positions.extend((0i64..).take(length));
        }
        self.types.clear();
        self.types.resize(self.rows * length, 0);
    }
}

impl Graph {
    /// Opens a session on a graph; `path` is its file.
    pub(crate) fn open(
        bytes: &GraphBytes,
        path: &Path,
        signature: &Signature<'_>,
        device: Device,
    ) -> Result<Self, EncoderError> {
        if device == Device::Cuda && !cfg!(feature = "cuda") {
            let reason = "this program was built without the feature `cuda`".to_owned();
            return Err(EncoderError::Device { reason });
        }
        let environment = runtime::environment()?;
        let session =
            open_session(&environment, bytes, path, device).map_err(|source| match device {
                Device::Cpu => EncoderError::Graph { path: path.to_owned(), source },
                Device::Cuda => EncoderError::Device { reason: source.to_string() },
            })?;
        let (inputs, fixed) = check_inputs(&session, signature.inputs, path)?;
        check_output(&session, signature, path)?;
        check_unpooled(&session, signature, path)?;
        Ok(Self {
            session,
            inputs,
            fixed,
            output: signature.output.to_owned(),
            shape: signature.shape,
            unpooled: signature.unpooled.map(str::to_owned),
        })
    }

    /// Sizes that batches must have.
    pub(crate) fn fixed(&self) -> Fixed {
        self.fixed
    }

    /// Runs a batch and hands the output's values to `read` without a copy.
    pub(crate) fn run<T>(
        &mut self,
        batch: &Tensors,
        read: impl FnOnce(Output<'_>) -> Result<T, EncoderError>,
    ) -> Result<T, EncoderError> {
        let failed = |source| EncoderError::Runtime { doing: "running the model", source };
        let mut feed: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
        for Input { role, name, narrow } in &self.inputs {
            let data = match role {
                Role::TokenIds => &batch.ids,
                Role::AttentionMask => &batch.mask,
                Role::TokenTypes => &batch.types,
                Role::Positions => &batch.positions,
                Role::PoolMask => &batch.pooled,
            };
            let shape = [batch.rows, batch.length];
            let value: SessionInputValue<'_> = if *narrow {
                let narrow: Vec<i32> =
                    data.iter().map(|n| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
                Tensor::<i32>::from_array((shape, narrow)).map_err(failed)?.into()
            } else {
                TensorRef::from_array_view((shape, data.as_slice())).map_err(failed)?.into()
            };
            feed.push((Cow::Borrowed(name), value));
        }
        let outputs = self.session.run(feed).map_err(failed)?;
        let of_shape = |found: &[i64], expected: Vec<usize>| {
            let same = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(a, b)| usize::try_from(*a).ok() == Some(*b));
            if same {
                return Ok(());
            }
            Err(EncoderError::OutputShape { expected, found: found.to_vec() })
        };
        let output = &outputs[self.output.as_str()];
        let widened: Vec<f32>;
        let (shape, values) = if let Ok((shape, values)) = output.try_extract_tensor::<f16>() {
            widened = values.iter().map(|v| v.to_f32()).collect();
            (shape, widened.as_slice())
        } else {
            output.try_extract_tensor().map_err(failed)?
        };
        of_shape(shape, self.shape.of(batch.rows, batch.length))?;
        let unpooled = match &self.unpooled {
            None => Unpooled::Not,
            Some(name) => {
                let tokens = &outputs[name.as_str()];
                let (shape, unpooled) = if let Ok((shape, values)) = tokens.try_extract_tensor() {
                    (shape, Unpooled::Float(values))
                } else {
                    let (shape, values) = tokens.try_extract_tensor().map_err(failed)?;
                    (shape, Unpooled::Whole(values))
                };
                let tokens = OutputShape::Token(self.shape.last());
                of_shape(shape, tokens.of(batch.rows, batch.length))?;
                unpooled
            }
        };
        read(Output { values, unpooled })
    }
}

#[cfg(feature = "cuda")]
fn on_device(builder: SessionBuilder, device: Device) -> ort::Result<SessionBuilder> {
    if device == Device::Cpu {
        return Ok(builder);
    }
    // Without error_on_failure the runtime would go on with the CPU.
    Ok(builder.with_execution_providers([ort::ep::CUDA::default().build().error_on_failure()])?)
}

/// [`Graph::open`] has refused every other device.
#[cfg(not(feature = "cuda"))]
fn on_device(builder: SessionBuilder, _: Device) -> ort::Result<SessionBuilder> {
    Ok(builder)
}

fn open_session(
    environment: &ort::environment::Environment,
    bytes: &GraphBytes,
    path: &Path,
    device: Device,
) -> ort::Result<Session> {
    let mut builder = Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // Batches come in hundreds of shapes, and a pattern is kept for each.
        .with_memory_pattern(false)?;
    builder = on_device(builder, device)?.with_config_entry(EXACT_PRODUCTS, "1")?;
    match bytes {
        // It has no weights elsewhere; if it had, they would not be those of the current folder.
        GraphBytes::InMemory(onnx) => {
            builder.with_config_entry(EXTERNAL_FOLDER, NOWHERE)?.commit_from_memory(onnx)
        }
        GraphBytes::InFile => builder.commit_from_file(path),
        GraphBytes::Beside(onnx) => {
            let folder = path.parent().unwrap_or(Path::new(".")).to_string_lossy();
            builder.with_config_entry(EXTERNAL_FOLDER, folder)?.commit_from_memory(onnx)
        }
    }
}

/// Every input of the graph must be named by the manifest, and the other way round.
fn check_inputs(
    session: &Session,
    names: &OnnxInputs,
    path: &Path,
) -> Result<(Vec<Input>, Fixed), EncoderError> {
    let mut inputs = vec![
        (Role::TokenIds, names.token_ids.clone()),
        (Role::AttentionMask, names.attention_mask.clone()),
    ];
    inputs.extend(names.token_types.clone().map(|name| (Role::TokenTypes, name)));
    inputs.extend(names.positions.clone().map(|name| (Role::Positions, name)));
    inputs.extend(names.pool_mask.clone().map(|name| (Role::PoolMask, name)));
    let (mut expected, mut found): (Vec<&str>, Vec<&str>) = (
        inputs.iter().map(|i| i.1.as_str()).collect(),
        session.inputs().iter().map(Outlet::name).collect(),
    );
    expected.sort_unstable();
    found.sort_unstable();
    if expected != found {
        return Err(EncoderError::GraphSignature {
            path: path.to_owned(),
            what: "inputs",
            expected: expected.join(", "),
            found: found.join(", "),
        });
    }
    let mut fixed = Fixed::default();
    let mut out = Vec::with_capacity(inputs.len());
    for (role, name) in inputs {
        let outlet = session.inputs().iter().find(|i| i.name() == name);
        let wrong = || EncoderError::GraphSignature {
            path: path.to_owned(),
            what: "inputs",
            expected: format!("{name}: int64 or int32 [batch, length], as the other inputs"),
            found: outlet.map_or_else(String::new, |i| format!("{name}: {:?}", i.dtype())),
        };
        let (ty, shape) = match outlet.map(Outlet::dtype) {
            Some(ValueType::Tensor { ty, shape, .. }) => (*ty, shape),
            _ => return Err(wrong()),
        };
        let narrow = match ty {
            TensorElementType::Int64 => false,
            TensorElementType::Int32 => true,
            _ => return Err(wrong()),
        };
        let [rows, length] = shape[..] else { return Err(wrong()) };
        // An open size is negative.
        let take = |slot: &mut Option<usize>, size: i64| match usize::try_from(size) {
            Ok(size) if size > 0 => *slot.get_or_insert(size) == size,
            _ => true,
        };
        if !(take(&mut fixed.rows, rows) && take(&mut fixed.length, length)) {
            return Err(wrong());
        }
        out.push(Input { role, name, narrow });
    }
    Ok((out, fixed))
}

/// The output must be there, float32 or float16, of the signature's shape (a size left open is let through: it
/// is checked at each run).
fn check_output(
    session: &Session,
    signature: &Signature<'_>,
    path: &Path,
) -> Result<(), EncoderError> {
    let (axes, last) = (signature.shape.of(1, 1).len(), signature.shape.last());
    let output = session.outputs().iter().find(|o| o.name() == signature.output);
    let fits = output.is_some_and(|o| match o.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32 | TensorElementType::Float16,
            shape,
            ..
        } => {
            let found = usize::try_from(shape.last().copied().unwrap_or(0)).ok();
            shape.len() == axes && found.is_none_or(|found| found == last)
        }
        _ => false,
    });
    if fits {
        return Ok(());
    }
    let all = session.outputs().iter().map(|o| format!("{}: {:?}", o.name(), o.dtype()));
    let sizes = match signature.shape {
        OutputShape::Passage(n) => format!("[batch, {n}]"),
        OutputShape::Token(n) => format!("[batch, length, {n}]"),
    };
    Err(EncoderError::GraphSignature {
        path: path.to_owned(),
        what: "output",
        expected: format!("{}: float32 or float16 {sizes}", signature.output),
        found: output.map_or_else(
            || all.collect::<Vec<_>>().join(", "),
            |o| format!("{}: {:?}", o.name(), o.dtype()),
        ),
    })
}

/// What is pooled must come in numbers that are read here; its sizes are checked at each run.
fn check_unpooled(
    session: &Session,
    signature: &Signature<'_>,
    path: &Path,
) -> Result<(), EncoderError> {
    let Some(name) = signature.unpooled else { return Ok(()) };
    let found = session.outputs().iter().find(|o| o.name() == name).map(Outlet::dtype);
    match found {
        Some(ValueType::Tensor {
            ty: TensorElementType::Float32 | TensorElementType::Int32,
            ..
        }) => Ok(()),
        other => Err(EncoderError::Provenance {
            path: path.to_owned(),
            reason: format!("what it pools, `{name}`, is {other:?} and not float32 or int32"),
        }),
    }
}
