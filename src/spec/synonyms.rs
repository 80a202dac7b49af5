//! The words of other tools: what people type who know PyTorch, timm, scikit-learn or the paper, and what it is called here.

/// What is typed, and what it may mean here, the likeliest first. Which of these exists where the word stands decides.
const SYNONYMS: &[(&[&str], &[&str])] = &[
    (
        &[
            "t",
            "step",
            "timesteps",
            "noise",
            "noise_level",
            "noise_step",
            "time",
        ],
        &["timestep", "timesteps"],
    ),
    (
        &[
            "layer", "layers", "tap", "taps", "b", "blocks", "module", "depth",
        ],
        &["block"],
    ),
    (&["pooling", "pool_size", "p"], &["pool"]),
    (
        &[
            "lr",
            "learning_rate",
            "rate",
            "eta",
            "step_size",
            "base_lr",
            "learningrate",
        ],
        &["lr", "learning_rate"],
    ),
    (&["bs", "batch", "batchsize", "minibatch"], &["batch_size"]),
    (
        &["epoch", "n_epochs", "num_epochs", "max_epochs", "nepochs"],
        &["epochs"],
    ),
    (
        &["iterations", "iters", "num_steps", "n_steps", "max_steps"],
        &["steps"],
    ),
    (
        &["random_state", "rng", "random_seed", "manual_seed", "seeds"],
        &["seed", "seeds"],
    ),
    (&["wd", "decay", "l2", "weightdecay"], &["weight_decay"]),
    (&["eps"], &["epsilon"]),
    (&["betas", "beta"], &["beta1"]),
    (
        &[
            "path",
            "folder",
            "dir",
            "directory",
            "data_dir",
            "data_path",
            "location",
        ],
        &["root", "files", "output", "file"],
    ),
    (
        &[
            "checkpoint",
            "ckpt",
            "weight",
            "pretrained",
            "model_path",
            "checkpoint_path",
        ],
        &["weights"],
    ),
    (
        &["name", "arch", "architecture", "variant"],
        &["preset", "kind"],
    ),
    (&["type", "class"], &["kind"]),
    (&["n_neighbors", "neighbors", "num_neighbors"], &["k"]),
    (
        &[
            "hidden_size",
            "hidden_sizes",
            "hidden_dim",
            "hidden_layers",
            "units",
        ],
        &["hidden"],
    ),
    (&["scheduler", "lr_scheduler", "lr_schedule"], &["schedule"]),
    (&["opt", "optim", "optimiser"], &["optimizer"]),
    (&["smoothing"], &["label_smoothing"]),
    (
        &[
            "max_norm",
            "grad_clip",
            "clip_grad",
            "clip_grad_norm",
            "max_grad_norm",
        ],
        &["clip"],
    ),
    (
        &[
            "val_split",
            "validation",
            "validation_split",
            "val",
            "valid",
            "test_size",
        ],
        &["holdout"],
    ),
    (&["early_stopping"], &["patience"]),
    (
        &["amp", "dtype", "fp16", "half", "autocast"],
        &["precision"],
    ),
    (
        &["resolution", "img_size", "input_size", "size"],
        &["image_size"],
    ),
    (
        &["transform", "transforms", "augment", "augmentation"],
        &["preprocess"],
    ),
    (&["extraction", "input", "inputs", "feature"], &["features"]),
    (
        &["head", "heads", "on", "classifier", "input", "inputs"],
        &["of"],
    ),
    (&["data"], &["dataset"]),
    (&["network", "backbone", "net"], &["model"]),
    (&["topk", "k"], &["top"]),
    (&["filter", "filters", "select", "query"], &["where"]),
    (&["average", "average_over", "mean_over", "mean"], &["over"]),
    (&["row", "index", "y"], &["rows"]),
    (&["column", "cols", "col", "x"], &["columns"]),
    (&["x_axis", "xaxis"], &["x"]),
    (
        &["hue", "color", "lines", "group", "groups", "label"],
        &["series"],
    ),
    (&["xscale", "log_x", "logx"], &["x_scale"]),
    (
        &["out", "report", "markdown", "filename"],
        &["output", "file"],
    ),
    (&["metrics", "value", "score"], &["metric"]),
    (&["num_samples", "n_samples", "n", "number"], &["count"]),
    // Values.
    (
        &["acc", "accuracy", "top_1", "top-1"],
        &["top1", "accuracy"],
    ),
    (&["top_5", "top-5"], &["top5"]),
    (
        &[
            "logreg",
            "logisticregression",
            "logistic_regression",
            "softmax",
        ],
        &["logistic"],
    ),
    (&["ridge_regression", "ridgeclassifier"], &["ridge"]),
    (
        &["linear_probe", "probe", "linear_probing", "fc"],
        &["linear"],
    ),
    (
        &["nearest_neighbors", "k_nearest_neighbors", "kneighbors"],
        &["knn"],
    ),
    (&["conv", "convolution", "convnet"], &["cnn"]),
    (&["transformer", "attn"], &["attention"]),
    (
        &["unet", "u_net", "adm", "ddpm", "diffusion"],
        &["guided-diffusion"],
    ),
    (
        &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"],
        &["resnet"],
    ),
    (&["raw", "pixel"], &["pixels"]),
    (&["folder", "images", "directory"], &["image-folder"]),
    (&["parquet", "csv", "huggingface"], &["table"]),
    (&["cifar", "cifar_10"], &["cifar10"]),
    (&["numpy", "arrays"], &["npz"]),
    (&["categorical", "words", "ordinal"], &["category"]),
    (&["logarithmic"], &["log"]),
    (&["half", "float16", "fp16"], &["f16"]),
    (&["bfloat16"], &["bf16"]),
    (&["float32", "float", "fp32"], &["f32"]),
    (&["plot", "line", "bar", "scatter"], &["lines"]),
    // Sections.
    (&["features", "feature", "taps"], &["extraction"]),
    (&["probe", "probes", "classifier"], &["head"]),
    (&["network", "networks", "backbone"], &["model"]),
    (&["data"], &["dataset"]),
    (&["evaluation", "eval", "score", "scores"], &["metric"]),
    (&["training", "train"], &["pretrain"]),
];

/// What a word of other tools is called among some candidates; `None` where none of them is meant.
pub(super) fn meant<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let wanted = SYNONYMS
        .iter()
        .filter(|(typed, _)| typed.contains(&word))
        .flat_map(|(_, meant)| meant.iter());
    wanted.filter(|meant| **meant != word).find_map(|meant| {
        candidates
            .iter()
            .copied()
            .find(|candidate| candidate == meant)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_mean_what_is_there() {
        let of = |word, known: &[&'static str]| meant(word, known);
        assert_eq!(of("t", &["block", "timestep"]), Some("timestep"));
        assert_eq!(
            of("lr", &["epochs", "learning_rate"]),
            Some("learning_rate")
        );
        assert_eq!(of("learning_rate", &["kind", "lr"]), Some("lr"));
        assert_eq!(of("layer", &["timestep"]), None);
        assert_eq!(of("tiger", &["timestep"]), None);
    }

    #[test]
    fn each_word_stands_once_in_its_row() {
        for (typed, meant) in SYNONYMS {
            for words in [typed, meant] {
                let mut sorted = words.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), words.len(), "{words:?}");
            }
        }
    }
}
