def layer_norm_backward(dy, normed, rstd, gain):  # [N,D], [N,D], [N,1], [D] -> [N,D], [D], [D]
    dnormed = dy * gain
    mean_road = dnormed.mean(1, keepdims=True)
    deviation_road = normed * (dnormed * normed).mean(1, keepdims=True)
    dx = (dnormed - mean_road - deviation_road) * rstd
    return dx, (dy * normed).sum(0), dy.sum(0)


WRONG = [
    (" - mean_road - deviation_road", " - mean_road", "third road"),
    (" - mean_road - deviation_road", " - deviation_road", "mean road"),
    ("dnormed = dy * gain", "dnormed = dy", "gain"),
    (") * rstd", ")", "rstd"),
    ("dnormed.mean(1, keepdims=True)", "dnormed.mean(0)", "mean over the wrong axis"),
    ("(dy * normed).sum(0)", "dy.sum(0) * 1", "dgain without normed"),
    ("dy.sum(0)", "dy.mean(0)", "dbias a mean"),
]
