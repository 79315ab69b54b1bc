"""Sources that are compiled at once."""

def at_once(name, srcs):
    """A file name.cc that includes the sources: what they all include is read once."""
    native.genrule(
        name = name,
        outs = [name + ".cc"],
        cmd = "printf '#include \"%s\"\n' {} >$@".format(
            " ".join([native.package_name() + "/" + src for src in srcs]),
        ),
    )
