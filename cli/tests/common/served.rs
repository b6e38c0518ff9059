//! A server as a process, which ends with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::quarry;

/// A server that has bound its address; it may still be loading.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Server {
    /// Starts `quarry serve` on a free port, with further arguments.
    pub(crate) fn bound(args: &[&str]) -> Self {
        Self::started(quarry(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
    }

    /// The same by another program, whose last arguments are those to run.
    pub(crate) fn bound_by(program: &[&str], args: &[&str]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_quarry"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        Self::started(command)
    }

    fn started(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap();
        let address = address.split('/').next().unwrap().to_owned();
        Self { child, address }
    }
}

#[cfg(unix)]
impl Server {
    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
