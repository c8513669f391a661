"""Raw conversations in, clean ones or the reason why not out; `curate.Curator` joins the operators."""
