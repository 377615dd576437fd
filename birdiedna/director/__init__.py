"""Who chooses the ratios: the reward, its model, directors, a simulator."""
