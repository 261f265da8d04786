"""What is not as it was? Two manifests → the changes between them. Pure."""

from collections.abc import Iterator, Mapping

from slipway.values import Change, Manifest

DIGITS = 12  # of a digest: enough to tell two apart


def since(before: Manifest | None, after: Manifest | None) -> tuple[Change, ...]:
    """Return what changed between releases of which one may be too old to have a manifest."""
    if before is None or after is None:
        sides = ("kept" if each else "none was kept yet" for each in (before, after))
        return (Change(what="manifest", before=next(sides), after=next(sides)),)
    return between(before, after)


def between(before: Manifest, after: Manifest) -> tuple[Change, ...]:
    """Return what changed, the origin first and single files last.

    Args:
        before: What the earlier release was made of.
        after: What the later one is made of.

    Returns:
        One change for each entry that differs, is new or is gone. Digests are cut to 12 digits. A
        configuration file of which entries are listed is not listed itself.
    """
    return (
        *_changed(_facts(before), _facts(after)),
        *_changed(before.settings, after.settings),
        *_changed(before.tools, after.tools, "tools: "),
        *_files("weights", before, after),
        *_files("artifact", before, after),
    )


def _facts(manifest: Manifest) -> dict[str, str]:
    facts = {
        "source": manifest.repo,
        "commit": manifest.commit[:DIGITS],
        "license": manifest.license,
        "chat template": manifest.chat_template_digest and manifest.chat_template_digest[:DIGITS],
        "candidate": manifest.variant,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _files(kind: str, before: Manifest, after: Manifest) -> Iterator[Change]:
    """Yield the files that changed, but for those that the settings already tell about."""
    entries = (*_changed(before.settings, after.settings),)
    told = {change.what.partition(":")[0] for change in entries}
    old, new = (
        {path: digest[:DIGITS] for path, digest in getattr(manifest, kind).items()}
        for manifest in (before, after)
    )
    for change in _changed(old, new):
        if change.what not in told:
            yield change.model_copy(update={"what": f"{kind}: {change.what}"})


def _changed(
    before: Mapping[str, str], after: Mapping[str, str], prefix: str = ""
) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(what=prefix + name, before=before.get(name), after=after.get(name))
