//! A backup as one file: a gzipped tar with `backup.json` first, then the files in the order it names them.

use super::manifest::{self, Manifest};
use crate::store::files::Mode;
use crate::store::format::names::FOLDER;
use crate::store::{Files, RealFiles};
use crate::tools::failure::Failure;
use crate::tools::io::{FileReader, FileWriter, copy};
use crate::tools::output::Meter;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read, Write};
use std::path::Path;

/// Is this the name of an archive?
pub(super) fn is_name(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// Packs a complete backup directory, durably.
pub(super) fn pack(from: &Path, manifest: &Manifest, at: i64, target: &Path) -> Result<(), Failure> {
    let fail = |e: io::Error| Failure::io("write", target, &e);
    let file = RealFiles.open(target, Mode::CreateNew).map_err(fail)?;
    let packer = GzEncoder::new(FileWriter::new(file), Compression::default());
    let mut tar = tar::Builder::new(packer);
    let seconds = u64::try_from(at / 1000).unwrap_or(0);
    let bytes = manifest.encode()?;
    let header = |len: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(len);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        header
    };
    tar.append_data(&mut header(bytes.len() as u64), manifest::NAME, &bytes[..]).map_err(fail)?;
    let mut meter = Meter::new(format!("packing {}", target.display()), total(manifest));
    let mut done = 0;
    for held in &manifest.files {
        let path = from.join(FOLDER).join(&held.name);
        let source = RealFiles.open(&path, Mode::Read).map_err(|e| Failure::io("open", &path, &e))?;
        let source = FileReader::new(source).take(held.length);
        tar.append_data(&mut header(held.length), format!("{FOLDER}/{}", held.name), source).map_err(fail)?;
        done += held.length;
        meter.at(done);
    }
    let packer = tar.into_inner().map_err(fail)?;
    packer.finish().and_then(FileWriter::sync).map_err(fail)?;
    Ok(())
}

fn total(manifest: &Manifest) -> u64 {
    manifest.files.iter().map(|f| f.length).sum()
}

/// Where the files of an archive go: a writer for each name. What it wrote is handed to `done`.
pub(super) trait Destination {
    /// Opens one.
    fn open(&mut self, name: &str) -> Result<Box<dyn Write + '_>, Failure>;
}

/// Nowhere: only to check.
pub(super) struct Nowhere;

impl Destination for Nowhere {
    fn open(&mut self, _: &str) -> Result<Box<dyn Write + '_>, Failure> {
        Ok(Box::new(io::sink()))
    }
}

/// Reads an archive to its very end and checks every byte against the manifest.
pub(super) fn unpack(archive: &Path, to: &mut dyn Destination) -> Result<Manifest, Failure> {
    let file = RealFiles.open(archive, Mode::Read).map_err(|e| Failure::io("open", archive, &e))?;
    let length = file.len().map_err(|e| Failure::io("read", archive, &e))?;
    let bad = |why: String| Failure::Found(format!("the backup {} is damaged: {why}", archive.display()));
    let broken = |e: io::Error| bad(format!("it cannot be unpacked: {e}"));
    let packed = io::BufReader::new(FileReader::new(file));
    let mut tar = tar::Archive::new(GzDecoder::new(packed));
    let mut meter = Meter::new(format!("reading {}", archive.display()), length);
    let mut manifest: Option<Manifest> = None;
    let mut seen: Vec<String> = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        let regular = entry.header().entry_type().is_file();
        let Some(manifest) = &manifest else {
            if path != manifest::NAME || !regular || entry.size() > manifest::LIMIT as u64 {
                return Err(Failure::Unable(format!(
                    "{} is no backup: it does not begin with {}",
                    archive.display(),
                    manifest::NAME
                )));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            manifest = Some(Manifest::decode(&bytes, archive)?);
            continue;
        };
        let name = path.strip_prefix(FOLDER).and_then(|p| p.strip_prefix('/')).unwrap_or_default();
        let Some(held) = manifest.file(name).filter(|_| regular && !seen.iter().any(|s| s == name)) else {
            return Err(bad(format!("{path:?} does not belong in it")));
        };
        if entry.size() != held.length {
            return Err(bad(format!("{name} has {} bytes instead of {}", entry.size(), held.length)));
        }
        let seal = {
            let mut writer = to.open(name)?;
            let seal = copy(&mut entry, &mut *writer, &mut |n| meter.at(n)).map_err(broken)?;
            writer.flush().map_err(|e| Failure::Unable(format!("cannot write {name}: {e}")))?;
            seal
        };
        if !held.matches(&seal) {
            return Err(bad(format!("the checksum of {name} does not match")));
        }
        seen.push(name.to_owned());
    }
    // The end of the tar is not the end of the packed stream, whose own checksum comes last.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    let manifest = manifest.ok_or_else(|| bad("it is empty".to_owned()))?;
    match manifest.files.iter().find(|f| !seen.contains(&f.name)) {
        Some(missing) => Err(bad(format!("{} is missing", missing.name))),
        None => Ok(manifest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_archives() {
        for (name, archive) in [
            ("b.tar.gz", true),
            ("B.TGZ", true),
            ("x/b.tar.gz", true),
            ("b", false),
            ("b.gz", false),
            ("b.tar.gz/x", false),
        ] {
            assert_eq!(is_name(Path::new(name)), archive, "{name}");
        }
    }
}
